"""What weight averaging is instead of the predictive mean, and what max-pooling does to it (claims 8, 9)."""

import itertools
import math

import numpy as np

from .. import bayes, nn
from ..model import BayesianNetwork
from ..truth import exact
from .claim import Finding, claim
from .common import ROUNDING, Tree, random_params, rounding, worst

REGRESSION, CLASSES = bayes.Gaussian(1.0), bayes.Categorical()


def averaged(net: nn.Network, params: Tree, x: np.ndarray,
             likelihood: bayes.Gaussian | bayes.Categorical = REGRESSION) -> tuple:
    """(the exact predictive, the prediction by weight averaging): `mean`, of one row, is what to compare."""
    model = BayesianNetwork(net, likelihood=likelihood, params=params)
    truth = exact.predict(net, model.params, model.likelihood, x)
    return truth, model.predict(x, rule="weight-averaging")


def sigmoid(v: float) -> float:
    return 1 / (1 + math.exp(-v))


@claim("prediction-weight-averaging", "prediction-weight-averaging-classes")
def two_errors() -> list[Finding]:
    """Claim 8: two nets whose error is known in closed form."""
    # relu(z_1 - z_2): 1 with probability 1/4, else 0; at E[z] it is 0
    net = nn.Network(a=nn.Dense(2, 1, noise=nn.Bernoulli(0.5)), r=nn.ReLU())
    truth, average = averaged(net, {"a": {"M": np.array([[1.0, -1.0]]), "b": np.zeros(1)}}, np.ones((1, 2)))
    quarter = worst([abs(truth.mean.item() - 0.25), abs(average.mean.item())])
    # the logit of class 1 is a z: linear in z, but its probability is not
    keep, a = 0.6, 4.0
    net = nn.Network(a=nn.Dense(1, 2, noise=nn.Bernoulli(keep)))
    params = {"a": {"M": np.array([[0.0], [a]]), "b": np.zeros(2)}}
    truth, average = averaged(net, params, np.ones((1, 1)), CLASSES)
    mean, at_mean = keep * sigmoid(a) + (1 - keep) / 2, sigmoid(keep * a)
    classes = worst([abs(truth.mean[0, 1] - mean), abs(average.mean[0, 1] - at_mean)])
    return [
        Finding(
            "prediction-weight-averaging",
            "weight averaging is not the predictive mean: for relu(z_1 - z_2) it is 0, the mean is 1/4",
            "weight averaging against 0, enumeration against 1/4", quarter, rounding(4, 1), ROUNDING),
        Finding(
            "prediction-weight-averaging-classes",
            f"with linear logits it is not either: weight averaging says {at_mean:.3f} "
            f"where p(y = 1 | x) = {mean:.3f}",
            "both against keep sigm(a) + (1-keep)/2 and sigm(keep a)", classes, rounding(4, 1), ROUNDING),
    ]


@claim("prediction-weight-averaging-geometric")
def geometric_mean() -> list[Finding]:
    """Claim 8: all noise in the last layer, and weight averaging is softmax(E f) = exp(E log p)/sum."""
    net = nn.Network(a=nn.Dense(2, 5), t=nn.Tanh(), b=nn.Dense(5, 3, noise=nn.Bernoulli(0.7)))
    params = random_params(net, 9, 1.5)
    truth, average = averaged(net, params, np.array([[0.4, -0.9]]), CLASSES)
    p = np.exp(truth.f) / np.exp(truth.f).sum(axis=2, keepdims=True)
    geometric = np.exp(truth.expect(np.log(p)))
    gap = np.abs(truth.mean - average.mean).max()
    return [Finding(
        "prediction-weight-averaging-geometric",
        "with linear logits weight averaging is the normalised geometric mean of the passes, "
        f"here {gap:.2f} from their mean",
        "weight averaging against softmax-normalised exp(E log p) over 32 masks",
        np.abs(average.mean - geometric / geometric.sum()).max(), rounding(32 * 5, 16),
        "rounding; logits are below 16")]


@claim("prediction-weight-averaging-linear")
def linear() -> list[Finding]:
    """Claim 8, where it is exact: dropout after the pooling and no non-linearity after it, so linear in z."""
    net = nn.Network((5, 5, 1), c=nn.Conv2d(1, 2, 2), p=nn.MaxPool2d(2), r=nn.ReLU(), f=nn.Flatten(),
                     d=nn.Dense(8, 3, noise=nn.Bernoulli(0.3)))
    params, x = random_params(net, 10), np.random.default_rng(10).standard_normal((1, 5, 5, 1))
    truth, average = averaged(net, params, x)
    size = np.abs(truth.f).max() + (np.abs(params["d"]["M"]).sum(axis=1) * 8).max()
    return [Finding(
        "prediction-weight-averaging-linear",
        "weight averaging is exact for regression where f is linear in z: noise before the last layer only",
        "weight averaging against enumeration, conv-pool-relu-dense with noise after the pool",
        np.abs(truth.mean - average.mean).max(), rounding(2**8 + 8, size), ROUNDING)]


def pooled(values: np.ndarray, keep: float, size: int, stride: int, level: float = 1.0) -> tuple:
    """(exact, weight averaging, probabilistic pooling): values (H, W) times level, dropped, max-pooled."""
    net = nn.Network((*values.shape, 1), c=nn.Conv2d(1, 1, 1, noise=nn.Bernoulli(keep)),
                     p=nn.MaxPool2d(size, stride), f=nn.Flatten())
    params = {"c": {"M": np.full((1, 1, 1, 1), level), "b": np.zeros(1)}}
    model = BayesianNetwork(net, likelihood=REGRESSION, params=params)
    x = values[None, :, :, None]
    rules = ("weight-averaging", "probabilistic-pooling")
    return (exact.predict(net, model.params, model.likelihood, x).mean[0],
            *(model.predict(x, rule=rule).mean[0] for rule in rules))


@claim("prediction-max-pool")
def max_pooling() -> list[Finding]:
    """Claim 9: the two numbers; kept with probability 1/2 and doubled, so that each unit keeps its mean."""
    window, ones = np.array([[4.0, 2.0], [1.0, 3.0]]), np.ones((2, 2))
    far = []
    for values, true, averaged_to in ((ones, 1.875, 1.0), (-ones, -0.125, -1.0),
                                      (window, 4 + 3 / 2 + 2 / 4 + 1 / 8, 4.0)):
        mean, average, probabilistic = (found.item() for found in pooled(values, 0.5, 2, 2, level=2.0))
        far += [abs(mean - true), abs(average - averaged_to), abs(probabilistic - true)]
    return [Finding(
        "prediction-max-pool",
        "dropout before max-pooling biases weight averaging: "
        "of 4 ones it makes 1, not 1.875; of 4 minus ones -1, not -0.125",
        "kept with probability 1/2 and doubled: enumeration, weight averaging and the multinomial rule, "
        "and 4 3 2 1 to 6.125",
        worst(far), rounding(2**4, 8), "rounding in a sum over 2^4 masks")]


@claim("prediction-max-pool-rule")
def max_pooling_rule() -> list[Finding]:
    """Claim 9: the multinomial rule."""
    rng, windows = np.random.default_rng(11), (((4, 4), 2, 2), ((3, 3), 3, 3), ((3, 5), 2, 1))
    far, sizes = [], []
    for keep, (shape, size, stride) in itertools.product((0.3, 0.5, 0.9), windows):
        draw = rng.standard_normal(shape)
        # any sign, none positive, none negative, ties
        for values in (draw, -np.abs(draw), np.abs(draw), np.round(draw)):
            mean, _, probabilistic = pooled(values, keep, size, stride)
            far.append(np.abs(mean - probabilistic).max())
            sizes.append(np.abs(values).max())
    return [Finding(
        "prediction-max-pool-rule",
        "max-pooling after dropout has mean sum keep(1-keep)^(i-1) x_(i) over sorted positives (Wu, Gu); "
        "with none, keep^m max x",
        "probabilistic pooling against enumeration: three keeps, three windows, any signs, ties",
        worst(far), rounding(2**16, sizes), "rounding in a sum over 2^16 masks")]
