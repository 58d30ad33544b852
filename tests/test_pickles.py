"""Every public object pickles and copies, and what it computes then has the same bits, in another process too."""

import copy
import inspect
import os
import pickle
import subprocess
import sys
import types

import numpy as np
import pytest

import minibayes as mb
from minibayes import bayes, checks, compress, data, latent, metrics, models, nn, truth
from minibayes.claims.claim import Finding as Claimed
from minibayes.fast.program import Program

rng = np.random.default_rng(0)
X = rng.standard_normal((30, 3)).astype(np.float32)
Y, R = (X.sum(1) > 0).astype(int), X[:, :1].astype(np.float64)


def fitted(likelihood=None, y=Y, outputs=2, noise=None, **options):
    model = mb.BayesianNetwork(models.mlp([3, 8, outputs], noise=noise or nn.Bernoulli(0.8)), likelihood=likelihood)
    model.fit(X, y, steps=3, **options)
    return model


def objects():
    """{what: an object}: of every public class at least one."""
    classes, numbers, two_heads = fitted(), fitted(bayes.Gaussian(2.0), R, 1), fitted(bayes.Heteroscedastic(), R)
    net = models.mlp([3, 2, 1], noise=nn.Bernoulli(0.8))
    params, key = net.init(0, np.float64), nn.Key(3, 1).of("a").of("b")
    p = classes.predict(X).mean
    nll, objective = metrics.calibration(p, Y), bayes.Objective(net, bayes.Prior(0.5), bayes.Gaussian(2.0), 30)
    target = truth.hmc.LogPosterior(net, bayes.Prior(0.5), bayes.Gaussian(2.0), X, R)
    made = [
        nn.SGD(0.1, momentum=0.9), nn.Adam(1e-3), nn.Bernoulli(0.3), nn.Delta(), nn.Gaussian(0.5), nn.LearnedGaussian(), nn.MeanField(),
        nn.Concrete(), nn.Times(nn.Bernoulli(0.5), nn.LearnedGaussian()),
        nn.Inputs(), nn.Outputs(), nn.Weights(), nn.Local(), nn.Flipout(), nn.Dense(3, 2),
        nn.Dense(3, 2, noise=nn.LearnedGaussian(), place=nn.Local()),
        nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.AveragePool2d(2), nn.Append(1), nn.Embedding(3, 2), nn.GRU(2, 3), nn.LSTM(2, 3),
        nn.ReLU(), nn.Tanh(), nn.Flatten(), nn.Rows(np.arange(3), np.arange(3), np.float32),
        key, models.lenet("all"), Program(net, 2), classes, numbers, two_heads, bayes.Prior(0.5), bayes.LogUniform(), bayes.WeightDecay(),
        bayes.Categorical(), bayes.Gaussian(2.0), bayes.Heteroscedastic(), objective, objective.value_and_grad(
            params, X.astype(np.float64), R, net.draw(key, X.shape)), checks.explain(numbers, X, R),
        truth.exact.predict(net, params, bayes.Gaussian(2.0), X), target,
        truth.hmc.sample(target, np.zeros(target.size if hasattr(target, "size") else 11), 0, draws=4, warmup=4, leaps=2),
        nll, metrics.risk_coverage(p[:, 0], Y == 1), metrics.precision_recall(p[:, 0], Y == 1), data.boston(), data.co2(),
        checks.gradient_check(lambda p: float((p["a"] ** 2).sum()), {"a": np.ones(2)}, {"a": 2 * np.ones(2)}, rng),
        checks.unbiased_check(lambda t: float(t % 2), 0.5, draws=100), checks.noise(nn.Bernoulli(0.5), draws=2000),
        Claimed(*[None] * len(inspect.signature(Claimed).parameters)),
    ]
    made += [c("said") for c in public_classes() if issubclass(c, Exception)]
    made += [model.predict(X, rule=rule, keep_samples=True) for model in (classes, numbers, two_heads) for rule in
             ("mc", "weight-averaging")]
    made += checks.noise(nn.Bernoulli(0.5), draws=2000).findings[:1]
    return made + tables(numbers) + smaller() + without_labels()


def without_labels():
    """A network with a code, and what comes of it; and a record of jobs."""
    net = nn.Network(law=nn.Dense(3, 4), code=nn.Code(2), out=nn.Dense(2, 3, noise=nn.Bernoulli(0.8)))
    y = (X > 0).astype(np.float32)
    model = mb.BayesianNetwork(net, likelihood=bayes.Bernoulli())
    model.fit(y, y, steps=3)
    known = np.array([True, True, False])
    return [mb.spread.Record("nowhere.json"), nn.Standard(), nn.Code(2), bayes.Bernoulli(), latent.bound(model, y, samples=2),
            latent.variances(model, y, codes=2, omegas=2),
            latent.complete(model, y, known, chains=2, steps=2)]


def smaller():
    """What makes a network smaller, and what comes out."""
    net = nn.Network(a=nn.Dense(3, 4, noise=nn.MeanField(0.1)), r=nn.ReLU(), b=nn.Hashed(4, 2, 3))
    steps = (compress.LogAlpha(0), compress.SignalToNoise(0.5), compress.KMeans(2), compress.DirichletProcess(), compress.AtRandom(2))
    made = compress.compress(net, net.init(0), steps)
    return [*steps, nn.Hashed(4, 2, 3), compress.Step(), compress.Weights(np.ones((2, 2)), None), made, made.rows[0],
            compress.tied(made.params, nn.Adam(0.1))]


def tables(numbers):
    """What is built on models."""
    quick = {"epochs": 1, "samples": 5}
    regressor, classifier = mb.Regressor(**quick).fit(X, R), mb.Classifier(**quick).fit(X, Y)
    exact, ensemble = mb.LastLayer(numbers, X, R), mb.Ensemble([numbers, numbers])
    return [regressor, classifier, mb.Conformal(regressor, X, R), ensemble, exact, exact.predict(X), ensemble.predict(X, samples=3),
            classifier.predictive(X), regressor.predictive(X), mb.conformal.law(9, 0.9), mb.active.Round(0, [1], 0.5, 0.7, [2])]


MADE = None


def made():
    global MADE
    MADE = MADE or objects()
    return MADE


def bits(thing, seen=None):
    """All numbers in an object and what it holds, as bytes."""
    seen = set() if seen is None else seen
    if isinstance(thing, np.ndarray):
        return thing.tobytes() + str(thing.dtype).encode()
    if isinstance(thing, dict):
        return b"".join(repr(k).encode() + bits(v, seen) for k, v in thing.items())
    if isinstance(thing, (list, tuple)):
        return b"".join(bits(v, seen) for v in thing)
    if type(thing).__module__.startswith("minibayes.") and hasattr(thing, "__dict__") and not isinstance(thing, Program):
        if id(thing) in seen:
            return b""
        seen.add(id(thing))
        return bits(vars(thing), seen)
    return repr(thing).encode() if isinstance(thing, (int, float, str, bytes, bool, type(None), np.generic)) else b""


def works(thing):
    """What it computes."""
    if isinstance(thing, mb.BayesianNetwork):
        more = mb.BayesianNetwork(thing.net, thing.prior, thing.likelihood)
        more.fit(X, R if thing.likelihood.support == "real" else Y, steps=2, seed=4)
        return thing.predict(X, samples=5, seed=1).mean.tobytes() + bits(more.params)
    if isinstance(thing, bayes.prediction.Prediction):
        y = R if isinstance(thing, bayes.prediction.RegressionPrediction) else Y
        return thing.log_likelihood(y).tobytes()
    if isinstance(thing, Program):
        return np.array([f for _, f in thing.passes(thing.init(0), X, nn.Key(0), 3, lambda so_far, f, *_: f.sum())]).tobytes()
    if isinstance(thing, nn.Key):
        return thing.normal((2,), nn.Rows(np.arange(3, dtype=np.uint64), np.arange(3, dtype=np.uint64), np.float32)).tobytes()
    return b""


def whole(thing):
    return type(thing).__name__.encode() + bits(thing) + works(thing)


def public_classes():
    """Of the rooms of the library: bench, plots and studies are for the command line, and a process is no data."""
    named = [getattr(mb, name) for name in mb.__all__ if name not in ("bench", "plots", "studies", "processes")]
    rooms = [mb, *[room for room in named if isinstance(room, types.ModuleType)]]
    return {c for room in rooms for name in dir(room) if not name.startswith("_") and inspect.isclass(c := getattr(room, name))
            and c.__module__.startswith("minibayes.")}


def test_every_public_class_is_here():
    here = {c for thing in made() for c in type(thing).__mro__} | {bayes.explain.Term}
    here |= {type(term) for thing in made() if isinstance(thing, checks.Explanation) for term in thing.terms}
    assert not {c.__name__ for c in public_classes() - here}


def test_copies_have_the_same_bits():
    for thing in made():
        expected = whole(thing)
        for way, copied in (("pickle", pickle.loads(pickle.dumps(thing))), ("deepcopy", copy.deepcopy(thing)), ("copy", copy.copy(thing))):
            assert type(copied) is type(thing) and whole(copied) == expected, (way, thing)


def test_in_another_process(tmp_path):
    pickled, answers = tmp_path / "objects.pickle", tmp_path / "answers.pickle"
    pickled.write_bytes(pickle.dumps(made()))
    script = ("import sys, pickle, pathlib; import test_pickles as t; things = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes());"
              "pathlib.Path(sys.argv[2]).write_bytes(pickle.dumps([t.whole(thing) for thing in things]))")
    path = os.pathsep.join([os.path.dirname(__file__), os.path.dirname(os.path.dirname(mb.__file__)), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", script, pickled, answers], env=os.environ | {"PYTHONPATH": path}, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    for thing, answer in zip(made(), pickle.loads(answers.read_bytes()), strict=True):
        assert answer == whole(thing), thing


@pytest.mark.parametrize("model", [fitted, lambda: fitted(bayes.Gaussian(2.0), R, 1)])
def test_a_prediction_does_not_change_in_a_copy(model):
    """What it says of new targets is drawn again, by the copy too."""
    model = model()
    y = R if model.likelihood.support == "real" else Y
    prediction = model.predict(X, samples=7)
    expected = prediction.log_likelihood(y)
    copied = pickle.loads(pickle.dumps(prediction))
    del model, prediction
    assert (copied.log_likelihood(y) == expected).all()
