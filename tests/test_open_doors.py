"""Seven classes of one's own, each in one file of public names: all works with them."""

import ast
import io
import os
import subprocess
import sys
import tokenize
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from open_doors import (
    average_pool,
    gated_dense,
    laplace_prior,
    leaky_relu,
    learned_noise,
    poisson,
    uniform_noise,
)

import minibayes as mb
from minibayes import bayes, checks, nn

FOLDER = Path(__file__).parent / "open_doors"
FILES = sorted(p for p in FOLDER.glob("*.py") if p.name != "__init__.py")
DROP = nn.Bernoulli(0.7)
LEAKY = leaky_relu.LeakyReLU(0.2)
UNIFORM = uniform_noise.UniformNoise(0.4)
LOG_NORMAL = learned_noise.LogNormal(0.3)


def vectors(columns, y):
    x = np.random.default_rng(1).standard_normal((40, columns)).astype("f4")
    return x, y(x)


def images():
    y = np.arange(40) % 3
    x = np.random.default_rng(1).standard_normal((40, 4, 4, 1)) + y[:, None, None, None]
    return x.astype("f4"), y


def real(x):
    return np.sin(x.sum(axis=1, keepdims=True))


def counts(x):
    return np.random.default_rng(2).poisson(np.exp(x[:, :1]))


CASES = {
    "leaky_relu": lambda: (
        mb.BayesianNetwork(nn.Network(a=nn.Dense(3, 6, noise=DROP), r=LEAKY, b=nn.Dense(6, 1)),
                           likelihood=bayes.Gaussian(4.0)), *vectors(3, real)),
    "average_pool": lambda: (
        mb.BayesianNetwork(nn.Network(
            (4, 4, 1), c=nn.Conv2d(1, 2, 3, padding=1, noise=DROP, noise_per="kernel"),
            p=average_pool.MeanPool(2), f=nn.Flatten(), d=nn.Dense(8, 3, noise=DROP))), *images()),
    "gated_dense": lambda: (
        mb.BayesianNetwork(nn.Network(a=gated_dense.GatedDense(3, 6, noise=DROP), b=nn.Dense(6, 1)),
                           likelihood=bayes.Gaussian(4.0)), *vectors(3, real)),
    "uniform_noise": lambda: (
        mb.BayesianNetwork(nn.Network(a=nn.Dense(2, 5, noise=UNIFORM), t=nn.Tanh(), b=nn.Dense(5, 1)),
                           bayes.Prior(0.5), bayes.Gaussian(4.0)), *vectors(2, real)),
    "learned_noise": lambda: (
        mb.BayesianNetwork(nn.Network(a=nn.Dense(2, 5, noise=LOG_NORMAL), t=nn.Tanh(), b=nn.Dense(5, 1)),
                           bayes.Prior(0.5), bayes.Gaussian(4.0)), *vectors(2, real)),
    "poisson": lambda: (
        mb.BayesianNetwork(nn.Network(a=nn.Dense(3, 5), t=nn.Tanh(), b=nn.Dense(5, 1, noise=DROP)),
                           likelihood=poisson.Poisson()), *vectors(3, counts)),
    "laplace_prior": lambda: (
        mb.BayesianNetwork(nn.Network(a=nn.Dense(3, 5, noise=DROP), t=nn.Tanh(),
                                      b=nn.Dense(5, 1, noise=DROP)),
                           laplace_prior.Laplace(2.0), bayes.Gaussian(4.0)), *vectors(3, real)),
}
GRADES = {
    "leaky_relu": [lambda: checks.layer(LEAKY, (5,)), lambda: checks.layer(LEAKY, (2, 3, 1))],
    "average_pool": [lambda: checks.layer(average_pool.MeanPool(2), (4, 6, 2))],
    "gated_dense": [lambda: checks.layer(gated_dense.GatedDense(4, 3), (4,)),
                    lambda: checks.layer(gated_dense.GatedDense(4, 3, DROP), (4,))],
    "uniform_noise": [lambda: checks.noise(UNIFORM), lambda: checks.rule(UNIFORM, bayes.Prior(1.3))],
    "learned_noise": [lambda: checks.noise(learned_noise.LogNormal()),
                      lambda: checks.rule(learned_noise.LogNormal(), bayes.Prior(0.7))],
    "poisson": [lambda: checks.likelihood(poisson.Poisson(), 1),
                lambda: checks.likelihood(poisson.Poisson(), 2)],
    "laplace_prior": [lambda: checks.rule(nn.Bernoulli(0.4), laplace_prior.Laplace(0.7)),
                      lambda: checks.rule(nn.Delta(), laplace_prior.Laplace(0.7))],
}
STEPS = {"steps": 30, "batch_size": 16, "optimizer": nn.Adam(0.02), "seed": 3, "report_every": 5}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """{name: (model, x, y, its file)} of every case, each trained once."""
    folder, out = tmp_path_factory.mktemp("open_doors"), {}
    for name, case in CASES.items():
        model, x, y = case()
        model.fit(x, y, **STEPS)
        model.save(folder / f"{name}.npz")
        out[name] = model, x, y, folder / f"{name}.npz"
    return out


every = pytest.mark.parametrize("name", CASES)


def test_all_files_are_here():
    assert [p.stem for p in FILES] == sorted(CASES) == sorted(GRADES)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_file_is_short_and_uses_public_names(path):
    source = path.read_text()
    tree = ast.parse(source)
    kinds = ast.Module, ast.ClassDef, ast.FunctionDef
    documented = [n.body[0] for n in ast.walk(tree) if isinstance(n, kinds) and ast.get_docstring(n)]
    document = {line for text in documented for line in range(text.lineno, text.end_lineno + 1)}
    code = [n for n, line in enumerate(source.splitlines(), 1) if line.strip() and n not in document]
    assert len(code) <= 40, len(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= {"math", "numpy", "minibayes"}
        if isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            allowed = {"dataclasses": {"dataclass"}, "minibayes": {"nn", "bayes", "checks"}}
            assert names <= allowed[node.module]
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in ("nn", "bayes"):
            assert node.attr in getattr(mb, node.value.id).__all__
    assert not [t for t in tokenize.generate_tokens(io.StringIO(source).readline)
                if t.type == tokenize.NAME and t.string.startswith("_")]


@every
def test_it_is_graded(name):
    for grade in GRADES[name]:
        verdict = grade()
        assert verdict.passed, verdict


@every
def test_it_trains_and_predicts(name, trained):
    model, x, y, _ = trained[name]
    first, last = model.history[0], model.history[-1]
    assert last["loss"] < first["loss"] and np.isfinite(last["loss"])
    mc, average = model.predict(x, samples=20), model.predict(x, rule="weight-averaging")
    assert np.isfinite(mc.mean).all() and np.isfinite(mc.log_likelihood(y)).all() and (mc.std_error > 0).any()
    assert mc.log_likelihood(y).mean() > -3 and average.mean.shape == mc.mean.shape
    functions = model.predict(x, samples=3, shared=True, keep_samples=True)
    assert functions.samples.shape == (3, len(x), model.net.output_shape(x.shape[1:])[0])


@every
def test_plain_and_fast_agree(name, trained):
    model, x, y, _ = trained[name]
    plain, _, _ = CASES[name]()
    plain.fit(x, y, **STEPS, plain=True)
    for layer, group in plain.params.items():
        for p, a in group.items():
            np.testing.assert_allclose(model.params[layer][p], a, atol=2e-3)
    fast, plain = (model.predict(x, samples=5, plain=way).mean for way in (False, True))
    np.testing.assert_allclose(fast, plain, atol=1e-4)


@every
def test_it_resumes_bit_for_bit(name, trained, tmp_path):
    model, x, y, _ = trained[name]
    again, _, _ = CASES[name]()
    again.fit(x, y, **(STEPS | {"steps": 11}), checkpoint=tmp_path / "run.npz")
    again, _, _ = CASES[name]()
    again.fit(x, y, **STEPS, checkpoint=tmp_path / "run.npz")
    for layer, group in again.params.items():
        for p, a in group.items():
            assert np.array_equal(model.params[layer][p], a), (layer, p)


@every
def test_it_is_explained(name, trained):
    model, x, y, _ = trained[name]
    e = checks.explain(model, x, y)
    parts = sum(term.value for term in e.terms if term.kind == "term")
    assert e["L-hat"] == pytest.approx(parts, rel=1e-6) and e["KL"] == pytest.approx(model.kl(), rel=1e-6)
    assert e["KL"] == pytest.approx(sum(t.value for t in e.terms if t.name.startswith("kl[")), rel=1e-6)


@every
def test_its_estimate_is_unbiased(name, trained):
    """E of L-hat's data term and of its gradient, over every omega, against the mean of draws."""
    model, x, y, _ = trained[name]
    x, y = x[:2].astype(float), y[:2]
    y = model.likelihood.targets("y", y, 2, model.net.output_shape(x.shape[1:])[0])
    params = {layer: {p: a.astype(float) for p, a in group.items()} for layer, group in model.params.items()}
    objective = bayes.Objective(model.net, model.prior, model.likelihood, len(x))
    terms, grads = mb.truth.exact.value_and_grad(objective, params, x, y, order=24)

    def draw(t):
        eps = model.net.draw(nn.Key(5, t), x.shape, dtype=np.float64)
        found, grads = objective.value_and_grad(params, x, y, eps)
        return {"nll": found.nll} | grads

    verdict = checks.unbiased_check(draw, {"nll": terms.nll} | grads, 300)
    assert verdict.passed, verdict
    exact = mb.truth.exact.predict(model.net, params, model.likelihood, x, order=24)
    model = mb.BayesianNetwork(model.net, model.prior, model.likelihood, params)
    mc = model.predict(x, samples=400)
    assert (np.abs(mc.mean - exact.mean) <= 4 * exact.std / np.sqrt(400) + 1e-9).all()


SCRIPT = """
import sys
import numpy as np
import minibayes as mb
for name, path in zip(sys.argv[2::2], sys.argv[3::2]):
    if sys.argv[1] == "imported":
        __import__(f"open_doors.{name}")
    try:
        model = mb.load(path)
        x = np.load(path.replace(".npz", ".x.npy"))
        np.save(path.replace(".npz", ".mean.npy"), model.predict(x, samples=4, threads=1).mean)
        print(name, "loaded")
    except mb.InputError as error:
        print(error)
"""


def in_a_fresh_process(word, trained):
    for _, x, _, path in trained.values():
        np.save(path.with_suffix(".x.npy"), x)
    paths = [part for name, (_, _, _, path) in trained.items() for part in (name, str(path))]
    search = os.pathsep.join([str(FOLDER.parent), str(Path(mb.__file__).parents[1])])
    done = subprocess.run([sys.executable, "-c", SCRIPT, word, *paths], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": search})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_process_that_imports_the_file_loads_the_model(trained):
    assert in_a_fresh_process("imported", trained) == [f"{name} loaded" for name in CASES]
    for model, x, _, path in trained.values():
        mean = model.predict(x, samples=4, threads=1).mean
        assert np.array_equal(np.load(path.with_suffix(".mean.npy")), mean)


def test_one_that_does_not_is_told_which_class_it_lacks(trained):
    wanted = {"leaky_relu": "layer 'LeakyReLU'", "average_pool": "layer 'MeanPool'",
              "gated_dense": "layer 'GatedDense'", "uniform_noise": "class 'UniformNoise'",
              "learned_noise": "class 'LogNormal'", "poisson": "likelihood 'Poisson'",
              "laplace_prior": "prior 'Laplace'"}
    lines = in_a_fresh_process("not imported", trained)
    assert len(lines) == len(wanted)
    for name, line in zip(CASES, lines, strict=True):
        lacks = f"unknown {wanted[name]}: if it is a class of your own, define or import it before loading"
        assert lacks in line


# --------------------------------------------------------------------------------------------------- mistakes

@dataclass(frozen=True)
class LeakySlip(leaky_relu.LeakyReLU):
    slip: str = ""

    def backward(self, params, cache, df):
        if self.slip == "in place":
            df[~cache] *= self.slope
            return df, {}
        return {"none": df, "dead": np.where(cache, df, 0),
                "flipped": np.where(cache, self.slope * df, df)}[self.slip], {}


@dataclass(frozen=True)
class PoolSlip(average_pool.MeanPool):
    slip: str = ""

    def forward(self, params, x, z=1):
        y, cache = super().forward(params, x, z)
        return (y * self.size**2 if self.slip == "sum" else y), cache

    def backward(self, params, cache, df):
        dx, _ = super().backward(params, cache, df)
        return {"no mean": dx * self.size**2, "float64": dx.astype(float)}.get(self.slip, dx), {}


@dataclass(frozen=True)
class GatedSlip(gated_dense.GatedDense):
    slip: str = ""

    @property
    def noisy_params(self):
        return ("M",) if self.slip == "gate outside" else ("M", "G")

    def backward(self, params, cache, df):
        dx, grads = super().backward(params, cache, df)
        x, xz, z, gate, y = cache
        dy, da = df * gate, df * y * gate * (1 - gate)
        dxz = dy @ params["M"] + da @ params["G"]
        changed = {"no mask": lambda: (dxz, grads), "M of x": lambda: (dx, grads | {"M": dy.T @ x}),
                   "dz lacks x": lambda: (dx, {p: dxz if p == "z" else g for p, g in grads.items()}),
                   "no dz": lambda: (dx, {p: g for p, g in grads.items() if p != "z"}),
                   "mean": lambda: (dx, grads | {"c": da.mean(axis=0)}),
                   "gate lost": lambda: (dx, grads | {"M": (df.T @ xz)})}
        return changed.get(self.slip, lambda: (dx, grads))()


@pytest.mark.parametrize("layer, shape, says", [
    (LeakySlip(slip="none"), (5,), "dL/dx is df itself: the layer's own derivative is missing"),
    (LeakySlip(slip="dead"), (5,), "dL/dx is wrong where x is negative, 0 times what it should be"),
    (LeakySlip(slip="flipped"), (5,), "dL/dx is wrong in 20 of 20 entries"),
    (LeakySlip(slip="in place"), (5,), "backward writes into df"),
    (PoolSlip(slip="no mean"), (4, 4, 2), "dL/dx is 4 times what it should be: a constant factor"),
    (PoolSlip(slip="sum"), (4, 4, 2), "dL/dx is 0.25 times what it should be: a constant factor"),
    (PoolSlip(slip="float64"), (4, 4, 2), "dL/dx comes as float64 where everything is float32"),
    (GatedSlip(4, 3, DROP, "no mask"), (4,), "dL/dx lacks the mask z"),
    (GatedSlip(4, 3, DROP, "M of x"), (4,), "dL/dM lacks the mask z, row by row"),
    (GatedSlip(4, 3, DROP, "dz lacks x"), (4,), "dL/dz lacks x"),
    (GatedSlip(4, 3, DROP, "no dz"), (4,), "dL/dz is missing: where self.noise.learned, backward must give"),
    (GatedSlip(4, 3, DROP, "mean"), (4,), "dL/dc is the mean over the batch, and must be the sum"),
    (GatedSlip(4, 3, DROP, "gate lost"), (4,), "dL/dM is wrong in 12 of 12 entries"),
    (GatedSlip(4, 3, DROP, "gate outside"), (4,),
     "z multiplies ('M', 'G'): noisy_params must say so, and says ('M',)"),
], ids=lambda v: getattr(v, "slip", None) or "")
def test_mistakes_in_a_layer_are_named(layer, shape, says):
    verdict = checks.layer(layer, shape)
    assert not verdict.passed and says in verdict.cause, verdict


@dataclass(frozen=True)
class UniformSlip(uniform_noise.UniformNoise):
    slip: str = ""

    def draw(self, key, shape, rows):
        if self.slip == "own generator":
            return np.random.default_rng(0).uniform(1 - self.width, 1 + self.width, shape).astype(rows.dtype)
        return super().draw(key, shape, rows)

    def moments(self, phi):
        v = self.width**2 / 3
        return 1.0, {"variance": v, "square": 1.0, "twelve": 1 + v / 4}.get(self.slip, 1 + v)


@dataclass(frozen=True)
class LearnedSlip(learned_noise.LogNormal):
    slip: str = ""

    def pull(self, phi, eps, dz):
        sigma, right = np.exp(phi["log_sigma"]), super().pull(phi, eps, dz)["log_sigma"]
        return {"log_sigma": {"no chain": right / sigma, "mean": right / len(eps)}.get(self.slip, right)}

    def moments(self, phi):
        return (1.0, float(np.exp(self.sigma**2))) if self.slip == "at the start" else super().moments(phi)


@pytest.mark.parametrize("noise, says", [
    (UniformSlip(0.4, "variance"), "E[z^2] is what Var[z] should be"),
    (UniformSlip(0.4, "square"), "the second moment is the square of the mean"),
    (UniformSlip(0.4, "twelve"), "E[z^2] is wrong, the variance in it, 1/4 times what it should be"),
    (UniformSlip(0.4, "own generator"), "an example drawn in another order gets other numbers"),
    (LearnedSlip(slip="no chain"), "dL/dlog_sigma lacks the factor exp(log_sigma)"),
    (LearnedSlip(slip="mean"), "dL/dlog_sigma is the mean over the rows, and must be the sum"),
    (LearnedSlip(slip="at the start"), "moments at another phi: E[z^2] is wrong"),
], ids=lambda v: getattr(v, "slip", None) or "")
def test_mistakes_in_a_noise_are_named(noise, says):
    verdict = checks.noise(noise)
    assert not verdict.passed and says in verdict.cause, verdict


@bayes.kl.rule(UniformSlip, bayes.Normal)
def uniform_rule(q, prior):
    part, slip = uniform_noise.uniform_under_normal(replace_noise(q), prior), q.noise.slip
    first = {p: prior.of(q.name) ** 2 for p in q.params}
    return {"no entropy": bayes.kl.Part(part.decay), "E[z]": bayes.kl.Part(first, part.terms),
            "half": bayes.kl.Part({p: d.factor / 2 for p, d in part.decay.items()}, part.terms),
            }.get(slip, part)


def replace_noise(q):
    return replace(q, noise=uniform_noise.UniformNoise(q.noise.width))


@bayes.kl.rule(LearnedSlip, bayes.Normal)
def learned_rule(q, prior):
    part = learned_noise.log_normal_under_normal(q, prior)
    rays, sigma = part.terms
    slope, s2 = sigma.grads["log_sigma"], float(np.exp(2 * q.phi["log_sigma"]).sum())
    decay = prior.of(q.name) ** 2 * s2 * np.exp(s2) * q.rays().sum()
    wrong = {"no entropy": sigma._replace(value=0.0, grads={"log_sigma": np.full_like(slope, decay)}),
             "factor": sigma._replace(grads={"log_sigma": 2 * slope})}.get(q.noise.slip, sigma)
    return bayes.kl.Part(part.decay, (rays, wrong))


@dataclass(frozen=True)
class LaplaceSlip(laplace_prior.Laplace):
    slip: str = ""

    def draw(self, rng, layer, shape):
        return rng.laplace(0, self.scale**2 if self.slip == "draw" else self.scale, shape)


@bayes.kl.rule(nn.Delta, LaplaceSlip)
@bayes.kl.rule(nn.Bernoulli, LaplaceSlip)
def laplace_rule(q, prior):
    part, factor = laplace_prior.l1(q, prior), {"half": 0.5, "keep twice": q.moments[0]}.get(prior.slip, 1)
    g = {"sign": -1}.get(prior.slip, factor)
    return bayes.kl.Part({}, tuple(
        t._replace(value=factor * t.value, grads={p: g * a for p, a in t.grads.items()}) for t in part.terms))


@pytest.mark.parametrize("noise, prior, says", [
    (UniformSlip(0.9, "no entropy"), bayes.Prior(), "the entropy along the ray, -log ||m||, is left out"),
    (UniformSlip(0.9, "E[z]"), bayes.Prior(), "E[z] is used where E[z^2] belongs, in -E_q log p"),
    (UniformSlip(0.9, "half"), bayes.Prior(), "-E_q log p is half of what it should be"),
    (LearnedSlip(slip="no entropy"), bayes.Prior(), "the entropy of z, -H(phi), is left out"),
    (LearnedSlip(slip="factor"), bayes.Prior(), "dKL/dlog_sigma is 2 times what it should be"),
    (nn.Bernoulli(0.4), LaplaceSlip(0.7, "half"), "the KL is half of what it should be"),
    (nn.Bernoulli(0.4), LaplaceSlip(0.7, "keep twice"), "E[z]^2 is used where E[z^2] = E[z] = E|z| belongs"),
    (nn.Bernoulli(0.4), LaplaceSlip(0.7, "sign"), "dKL/dM has the wrong sign"),
    (nn.Bernoulli(0.4), LaplaceSlip(0.7, "draw"), "draw is not from exp(log_p)"),
    (UNIFORM, laplace_prior.Laplace(), "the KL of UniformNoise noise under the prior Laplace is not known"),
], ids=lambda v: getattr(v, "slip", None) or "")
def test_mistakes_in_a_rule_are_named(noise, prior, says):
    verdict = checks.rule(noise, prior)
    assert not verdict.passed and says in verdict.cause, verdict


@dataclass(frozen=True)
class PoissonSlip(poisson.Poisson):
    slip: str = ""

    def targets(self, name, y, count, outputs):
        if self.slip == "targets":
            return np.asarray(y, float).reshape(count, outputs)
        return super().targets(name, y, count, outputs)

    def nll(self, f, y):
        nll, df = super().nll(f, y)
        if self.slip == "no factorial":
            nll = nll - poisson.log_factorial(y).sum(axis=1).astype(f.dtype)
        wrong = {"sign": y - np.exp(f), "half": df / 2, "no exp": f - y}
        return nll, wrong.get(self.slip, df).astype(f.dtype)

    def mean_and_variance(self, f):
        return np.exp(f), {"std": np.exp(f / 2)}.get(self.slip, np.exp(f))


@pytest.mark.parametrize("slip, says", [
    ("no factorial", "nll lacks log y!"), ("sign", "df has the wrong sign"),
    ("half", "df is 0.5 times what it should be"), ("no exp", "df is wrong in"),
    ("std", "the variance is the standard deviation: square it"), ("targets", "targets accepts"),
])
def test_mistakes_in_a_likelihood_are_named(slip, says):
    verdict = checks.likelihood(PoissonSlip(slip), 1)
    assert not verdict.passed and says in verdict.cause, verdict
