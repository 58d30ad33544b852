"""Does a likelihood keep what bayes.Likelihood promises: all of -log p, its derivative, its moments?"""

import warnings

import numpy as np

from .. import nn, records
from ..bayes import Likelihood, predictive
from ..floats import usual
from . import support
from .slopes import compare, constant, near
from .verdict import Examination, Failed, Verdict, call


@usual
def likelihood(likelihood: Likelihood, outputs: int, *, y: np.ndarray | None = None,
               seed: int = 0) -> Verdict:
    """Grade a likelihood for a network with so many outputs; prints nothing, raises nothing that it does.

    y: targets to take, as `fit` gets them, in the place of those that its `support` suggests.
    Over y it is summed or integrated, at 1 or 2 outputs where `outputs` would be more dimensions than that.
    """
    exam, rng = Examination(likelihood, f" with {outputs} outputs"), np.random.default_rng(seed)
    with exam.part("save", "can be saved and loaded"):
        records.check_readable("likelihood", likelihood)
    rows, good = 6 if y is None else len(y), None
    f = rng.standard_normal((rows, outputs))
    with exam.part("targets", "take what y may be, and refuse the rest with a clear error") as wrong:
        good = support.targets(likelihood, outputs, rows, y, rng)
        wrong(support.refuses(likelihood, outputs, good))
    if good is None:
        return exam.verdict()
    nll = None
    with exam.part("nll", f"-log p of each example, ({rows},), and df, {f.shape}") as wrong:
        nll, df = values(likelihood, f, good)
        if np.shape(df) != f.shape:
            wrong(f"nll gives df of shape {np.shape(df)} where f has {f.shape}")
    if nll is None:
        return exam.verdict()
    with exam.part("dtype", "float32 stays float32, float64 float64") as wrong:
        wrong(dtypes(likelihood, f, good))
    with exam.part("rows", "an example's -log p is its own, whatever it comes with") as wrong:
        wrong(rows_alone(likelihood, f, good))
    with exam.part("df", "the derivative of nll in f agrees with differences") as wrong:
        wrong(derivative(likelihood, f, good))
    with exam.part("normalised", "exp(-nll) adds up to 1 over all y") as wrong:
        wrong(support.normalised(likelihood, outputs, rng))
    moments = "expected" if likelihood.support == "label" else "mean_and_variance"
    with exam.part(moments, "agrees with exp(-nll) summed over y, for f (T, N, K) too") as wrong:
        wrong(support.moments(likelihood, outputs, rng))
    with exam.part("prediction", "log_likelihood is the log of the mean of p over the passes") as wrong:
        wrong(prediction(likelihood, outputs, good))
    with exam.part("data_terms", "add up to the data term") as wrong:
        terms = call(likelihood, "data_terms", "", rows, outputs, float(np.sum(nll)))
        if not near(sum(term[2] for term in terms), np.sum(nll)):
            found = sum(term[2] for term in terms)
            wrong(f"data_terms add up to {found:.6g}, and must to the total, {np.sum(nll):.6g}")
    return exam.verdict()


def values(likelihood, f, y):
    """(nll, df), with nll one number an example."""
    made = call(likelihood, "nll", f, y)
    if not hasattr(made, "__len__") or len(made) != 2:
        raise Failed("nll must return (nll (B,), df (B, K))")
    if np.shape(made[0]) != (len(f),):
        raise Failed(f"nll must give one number for each of {len(f)} examples, got shape {np.shape(made[0])}"
                     + (": sum over the outputs" if np.shape(made[0]) == f.shape else "")
                     + (": neither sum nor mean over the examples" if np.ndim(made[0]) == 0 else ""))
    if not np.isfinite(made[0]).all():
        raise Failed("nll is NaN or infinite for some of its targets")
    return made


def dtypes(likelihood, f, y) -> str:
    for dtype in (np.float32, np.float64):
        given, before = f.astype(dtype), y.copy()
        for what, a in zip(("nll", "df"), values(likelihood, given, y), strict=True):
            if np.asarray(a).dtype != dtype:
                return (f"{what} comes as {np.asarray(a).dtype} where f is {np.dtype(dtype)} and y {y.dtype}"
                        ": end it in .astype(f.dtype)")
        if not np.array_equal(given, f.astype(dtype)) or not np.array_equal(y, before):
            return "nll writes into what it was given"
    return ""


def rows_alone(likelihood, f, y) -> str:
    nll, df = values(likelihood, f, y)
    for n in range(len(f)):
        one, done = values(likelihood, f[n:n + 1], y[n:n + 1])
        if not near(one, nll[n:n + 1]):
            return (f"nll of example {n} alone is {float(one[0]):.6g}, in the batch {float(nll[n]):.6g}: "
                    "it depends on the others")
        if not near(done, df[n:n + 1]):
            return ("df divides by the batch: the mean over the batch is taken elsewhere"
                    if constant(df[n], done, 1 / len(f)) else
                    f"df of example {n} alone is another than in the batch")
    return ""


def derivative(likelihood, f, y) -> str:
    claimed = np.asarray(call(likelihood, "nll", f, y)[1], np.float64)
    factors = {"the factor f": f, "the factor exp(f)": np.exp(f), "the factor exp(-f)": np.exp(-f)}
    if np.shape(y) == f.shape:
        factors |= {"the factor y": y}
    return compare("df", lambda v: float(np.sum(call(likelihood, "nll", v, y)[0])), f, claimed, factors)


def prediction(likelihood, outputs, y) -> str:
    """A small net with dropout: its log p(y) beside log (1/T) sum_t exp(-nll), from the kept passes."""
    net, N = nn.Network(layer=nn.Dense(3, outputs, noise=nn.Bernoulli(0.5))), len(y)
    x = np.random.default_rng(8).standard_normal((N, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = predictive.predict(net, net.init(0, np.float64), likelihood, x, samples=7, keep_samples=True)
    f = made.samples
    p = np.stack([np.exp(-np.asarray(values(likelihood, f_t, y)[0], np.float64)) for f_t in f])
    found, wanted = np.asarray(made.log_likelihood(y)), np.log(p.mean(axis=0))
    if not near(found, wanted):
        return ("log_likelihood is the mean of the logs, not the log of the mean over the passes"
                if near(found, np.log(p).mean(axis=0)) else
                f"log_likelihood gives {found[0]:.6g} where log (1/T) sum_t p(y | f_t) is {wanted[0]:.6g}")
    expected = np.mean([call(likelihood, "expected", f_t) for f_t in f], axis=0)
    if not near(made.mean, expected):
        return "the prediction's mean is not the mean over the passes of `expected`"
    score = made.score(y)
    return "" if all(np.isfinite(list(score.values()))) else f"score gives {score}"
