"""Classes of the user's own: known once defined, refused at `save` when `load` could not read them, named in one line when unknown."""

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest

import minibayes as mb
from minibayes import bayes, nn, records, registry, storage


@dataclass(frozen=True)
class Scale(nn.Layer):
    """y = factor x."""

    factor: float = 2.0

    def forward(self, params, x, z):
        return x * x.dtype.type(self.factor), None

    def backward(self, params, cache, df):
        return df * df.dtype.type(self.factor), {}


class NoDataclass(nn.Layer):
    """y = x, with a setting that no file could hold."""

    def forward(self, params, x, z):
        return x, None

    def backward(self, params, cache, df):
        return df, {}


@dataclass(frozen=True)
class Forgetful(Scale):
    """A setting that comes back as another."""

    def __post_init__(self):
        object.__setattr__(self, "factor", self.factor + 1)


@dataclass(frozen=True)
class Callable(Scale):
    function: object = field(default=np.sin)


def model(layer, name="s", noise=nn.Delta()):  # noqa: B008  (a frozen record)
    net = nn.Network(a=nn.Dense(3, 4), **{name: layer}, b=nn.Dense(4, 2, noise=noise))
    return mb.BayesianNetwork(net, params=net.init(0))


def test_a_layer_of_one_s_own_comes_back(tmp_path):
    saved = model(Scale(0.5), noise=nn.Gaussian(0.3))
    saved.save(tmp_path / "m.npz")
    again = mb.load(tmp_path / "m.npz")
    x = np.random.default_rng(0).standard_normal((5, 3)).astype("f4")
    assert again.net.layers == saved.net.layers and (again.predict(x, samples=5).mean == saved.predict(x, samples=5).mean).all()


@pytest.mark.parametrize("layer, says", [
    (NoDataclass(), r"layer 's' cannot be saved: its class NoDataclass must be a dataclass"),
    (Forgetful(1.0), r"layer 's' cannot be saved: read back, its settings .*2\.0.* become .*3\.0"),
    (Callable(), r"layer 's' cannot be saved.*ufunc"),
], ids=["no dataclass", "forgetful", "a function"])
def test_save_refuses_what_load_could_not_read(layer, says, tmp_path):
    """At once: nothing is written; and a checkpoint before the first step."""
    with pytest.raises(mb.InputError, match=says):
        model(layer).save(tmp_path / "m.npz")
    with pytest.raises(mb.InputError, match=says):
        model(layer).fit(np.zeros((4, 3)), np.zeros(4, int), steps=1, checkpoint=tmp_path / "c.npz")
    assert not list(tmp_path.iterdir())


def test_a_name_of_minibayes_is_reserved(tmp_path):
    dense = dataclass(frozen=True)(type("ReLU", (Scale,), {"__module__": "elsewhere"}))
    with pytest.raises(mb.InputError, match=r"'ReLU' is a name of minibayes itself, rename your class elsewhere\.ReLU|become"):
        model(dense()).save(tmp_path / "m.npz")
    assert registry.find("layer", "ReLU") is nn.ReLU


def test_two_classes_of_one_name_are_told_apart_or_refused(tmp_path):
    model(Scale(2.0)).save(tmp_path / "m.npz")
    other = dataclass(frozen=True)(type("Scale", (nn.Layer,), {"__module__": "another"}))
    try:
        with pytest.raises(storage.FileError, match=rf"layer 'Scale' is defined more than once here: {__name__}\.Scale, another\.Scale"):
            mb.load(tmp_path / "m.npz")
    finally:
        registry._classes["layer"].pop((other.__module__, other.__qualname__))
    assert mb.load(tmp_path / "m.npz").net.layers["s"] == Scale(2.0)


def test_a_cell_that_is_run_again_replaces_its_class(tmp_path):
    def define(factor):
        namespace = {"nn": nn, "dataclass": dataclass, "__name__": "notebook"}
        exec(f"@dataclass(frozen=True)\nclass Again(nn.Layer):\n    factor: float = {factor}\n", namespace)
        return namespace["Again"]

    first, second = define(1.0), define(2.0)
    assert registry.find("layer", "Again") is second is not first


def test_an_unknown_class_is_one_line_that_names_it(tmp_path):
    """In a process that has never heard of it; nothing of the file is run."""
    model(Scale(0.5)).save(tmp_path / "m.npz")
    code = "import sys, minibayes as mb\ntry:\n    mb.load(sys.argv[1])\nexcept mb.InputError as error:\n    print(error)"
    said = subprocess.run([sys.executable, "-c", code, tmp_path / "m.npz"], capture_output=True, text=True, check=True).stdout
    assert "unknown layer 'Scale': if it is a class of your own, define or import it before loading" in said and len(said.splitlines()) == 1


@pytest.mark.parametrize("edit, says", [
    (lambda h: h["prior"].update({"class": "Dense"}), "unknown prior 'Dense'"),
    (lambda h: h["network"]["layers"][0]["noise"].update({"class": "system"}), "unknown class 'system'"),
    (lambda h: h["network"]["layers"][0].update({"noise": {"class": "Categorical"}}), r"noise must be .*got Categorical\(\)"),
    (lambda h: h["network"]["layers"][0].update({"place": {"class": "Local", "x": 1}}), "place 'Local' must have the fields"),
    (lambda h: h["likelihood"].update({"class": ["Categorical"]}), "is not the name of a class"),
], ids=["another kind", "no class", "noise of another kind", "place with a field", "a list"])
def test_a_header_names_classes_of_the_right_kind(edit, says, tmp_path):
    path = tmp_path / "m.npz"
    model(nn.ReLU()).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(arrays.pop("header").tobytes())
    edit(header)
    np.savez(path, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)
    with pytest.raises(storage.FileError, match=says):
        mb.load(path)


def test_every_shipped_class_can_be_written_and_read():
    """Settings, through JSON and back; `formerly` names of older files too."""
    shipped = [nn.Dense(2, 3, noise=nn.LearnedGaussian(0.3, "unit"), place=nn.Local()), nn.Conv2d(1, 2, 3, place=nn.Weights()),
               nn.Dense(2, 3, noise=nn.Concrete(0.7, 0.2, "unit")),
               nn.Dense(2, 3, noise=nn.MeanField(0.2)), nn.Conv2d(1, 2, 3, noise=nn.LearnedGaussian(0.3, "weight"), place=nn.Weights()),
               nn.MaxPool2d(2), nn.ReLU(), nn.Tanh(), nn.Flatten(), nn.Delta(), nn.Bernoulli(0.4), nn.Gaussian(2.0), nn.Inputs(),
               nn.Outputs(),
               bayes.Prior({"a": 2.0}), bayes.LogUniform(), bayes.LogUniform("molchanov"), bayes.WeightDecay(2.0),
               bayes.Categorical(), bayes.Gaussian(3.0), bayes.Heteroscedastic()]
    for value in shipped:
        assert dataclasses.is_dataclass(value)
        assert records.build(value.kind, json.loads(json.dumps(records.spec(value)))) == value
    assert records.build("prior", {"class": "LogUniform"}) == bayes.LogUniform("exact")  # as older files have it
    assert records.build("prior", {"class": "Prior", "lengthscale": 2.0}) == bayes.Normal(2.0) == bayes.Prior(2.0)
