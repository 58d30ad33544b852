"""(1/T) sum_t p(y* | x*, omega-hat_t) against the exact predictive, and what weight averaging is instead (claims 7, 8 and 9).

The truth is `truth.exact`. Replicates come for free: the rows of one prediction have noise of their own, so R copies of an input are R
independent averages over T passes.
"""

import math

import numpy as np

from .. import nn
from ..bayes import Categorical, Gaussian
from ..model import BayesianNetwork
from ..truth import exact
from .claim import Finding

EPS = np.finfo(float).eps
COPIES = 2000


def rounding(terms, size):
    """Twice (m + 2) eps sum |a b| for m products."""
    return 2 * (terms + 2) * EPS * float(np.max(size))


def random_params(net, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return {name: {p: scale * rng.standard_normal(a.shape) for p, a in group.items()} for name, group in net.init(0, np.float64).items()}


def tiny():
    """A 2-4-3 classifier with six Bernoulli units, and an input."""
    net = nn.Network(a=nn.Dense(2, 4, noise=nn.Bernoulli(0.8)), r=nn.ReLU(), b=nn.Dense(4, 3, noise=nn.Bernoulli(0.5)))
    return BayesianNetwork(net, likelihood=Categorical(), params=random_params(net, 8)), np.array([[0.7, -1.1]])


def convolutional(per):
    """A convolution with dropout, pooling and a dense layer with dropout: 13 units, or 5 if a kernel's patches share one."""
    net = nn.Network((4, 4, 1), c=nn.Conv2d(1, 1, 2, noise=nn.Bernoulli(0.5), noise_per=per), p=nn.MaxPool2d(2, 1), t=nn.Tanh(),
                     f=nn.Flatten(), d=nn.Dense(4, 3, noise=nn.Bernoulli(0.7)))
    return BayesianNetwork(net, params=random_params(net, 8)), np.random.default_rng(8).standard_normal((1, 4, 4, 1))


def studentised(skew, excess, T, x):
    """P(|mean - truth| <= x std_error) for T draws, to order 1/T: Hall, "The Bootstrap and Edgeworth Expansion" (1992), section 2.6.

    For a standard error from the unbiased variance; a normal population (skew = excess = 0) gives Student's t.
    """
    phi, inside = math.exp(-x * x / 2) / math.sqrt(2 * math.pi), math.erf(x / math.sqrt(2))
    return inside + 2 * phi * x / T * (excess * (x**2 - 3) / 12 - skew**2 * (x**4 + 2 * x**2 - 3) / 18 - (x**2 + 1) / 4)


def monte_carlo():
    """Claim 7: the error's size, its rate, and the error that is reported."""
    model, x = tiny()
    truth = exact.predict(model.net, model.params, model.likelihood, x)
    p = np.exp(truth.f - np.log(np.exp(truth.f).sum(axis=2, keepdims=True)))
    variance = truth.std[0] ** 2
    standard = (p - truth.mean[:, None]) / truth.std[:, None]
    skew, kurtosis = truth.expect(standard**3)[0], truth.expect(standard**4)[0]
    copies, size, far, logs, reported, cover = np.repeat(x, COPIES, axis=0), {}, 0.0, {}, 0.0, 0.0
    for T in (4, 64, 1024):
        found = model.predict(copies, samples=T, seed=T)
        errors = found.mean - truth.mean                                                  # (R, C)
        far = max(far, (np.abs(errors.mean(axis=0)) / (truth.std[0] / math.sqrt(T * COPIES))).max())
        # mean square error / (variance/T): 1, with standard error sqrt((E u^4 - 1)/R), u the mean's deviation: E u^4 = 3 + excess/T
        size[T] = (errors**2).mean(axis=0) / (variance / T)
        error = np.sqrt((2 + (kurtosis - 3) / T) / COPIES)
        far = max(far, (np.abs(size[T] - 1) / error).max())
        logs[T] = np.log(size[T] * variance / T) / 2, error / 2
        # std_error^2 T is the unbiased variance s^2 of T draws: mean 1, variance (kurtosis - (T - 3)/(T - 1))/T in units of the true one
        ratio = (found.std_error**2).mean(axis=0) / (variance / T)
        reported = max(reported, (np.abs(ratio - 1) / np.sqrt((kurtosis - (T - 3) / (T - 1)) / T / COPIES)).max())
    for width in (1.0, 2.0):
        inside = (np.abs(errors) <= width * found.std_error).mean(axis=0)
        wanted = studentised(skew, kurtosis - 3, T, width)
        cover = max(cover, (np.abs(inside - wanted) / np.sqrt(wanted * (1 - wanted) / COPIES)).max())
    for per in ("patch", "kernel"):
        model, x = convolutional(per)
        truth, found = exact.predict(model.net, model.params, model.likelihood, x), model.predict(np.repeat(x, COPIES, axis=0), samples=16)
        far = max(far, (np.abs(found.mean.mean(axis=0) - truth.mean[0]) / (truth.std[0] / math.sqrt(16 * COPIES))).max())
    slope = (logs[1024][0] - logs[4][0]) / math.log(1024 / 4)
    error = np.hypot(logs[1024][1], logs[4][1]) / math.log(1024 / 4)
    worst = np.argmax(np.abs(slope + 0.5) / error)
    return [
        Finding("prediction-mc-converges", "the average of T stochastic passes has the exact predictive mean, and error sd/sqrt(T)",
                f"bias and mean square error of {COPIES} predictions by a dense net at T = 4, 64, 1024, and bias of two with "
                "convolutions, against enumeration, in standard errors", far, 4.0, "4 standard errors, from the exact moments"),
        Finding("prediction-mc-rate", "the error of the MC mean falls as T^(-1/2)",
                f"slope of log root mean square error in log T, T = 4 to 1024: {slope[worst]:.4f} against -1/2",
                abs(slope[worst] + 0.5), 4 * error[worst], "4 standard errors of the slope, by the delta method"),
        Finding("prediction-std-error", "the square of the reported standard error is unbiased, from T = 4 passes on",
                f"mean of std_error^2 over {COPIES} predictions against variance/T by enumeration, in standard errors", reported, 4.0,
                "4 standard errors, from the exact fourth moment"),
        Finding("prediction-coverage", "the exact mean is within 1 (2) reported standard errors in 68% (95%) of predictions",
                f"share of {COPIES} predictions, T = {T}, against Student's share corrected for skewness and kurtosis, in standard errors",
                cover, 4.0, "4 binomial standard errors; the correction is 0.002 at most, what it leaves out of order 1/T^2"),
    ]


def averaged(net, params, x, likelihood=None):
    """(the exact predictive, the prediction by weight averaging): one-row arrays `mean` are what to compare."""
    model = BayesianNetwork(net, likelihood=likelihood or Gaussian(1.0), params=params)
    return exact.predict(net, model.params, model.likelihood, x), model.predict(x, rule="weight-averaging")


def sigmoid(v):
    return 1 / (1 + math.exp(-v))


def weight_averaging():
    """Claim 8: two nets whose error is known in closed form, what weight averaging computes, and where it is exact."""
    half, keep, a = nn.Bernoulli(0.5), 0.6, 4.0
    one = np.ones((1, 1))
    # relu(z_1 - z_2): 1 with probability 1/4, else 0; at E[z] it is 0
    net = nn.Network(a=nn.Dense(2, 1, noise=half), r=nn.ReLU())
    truth, average = averaged(net, {"a": {"M": np.array([[1.0, -1.0]]), "b": np.zeros(1)}}, np.ones((1, 2)))
    quarter = max(abs(truth.mean.item() - 0.25), abs(average.mean.item()))
    # the logit of class 1 is a z: linear in z, but its probability is not
    net = nn.Network(a=nn.Dense(1, 2, noise=nn.Bernoulli(keep)))
    truth, average = averaged(net, {"a": {"M": np.array([[0.0], [a]]), "b": np.zeros(2)}}, one, Categorical())
    wanted = keep * sigmoid(a) + (1 - keep) / 2
    sure = max(abs(truth.mean[0, 1] - wanted), abs(average.mean[0, 1] - sigmoid(keep * a)))
    # all noise in the last layer: weight averaging is softmax(E f) = exp(E log p)/sum
    net = nn.Network(a=nn.Dense(2, 5), t=nn.Tanh(), b=nn.Dense(5, 3, noise=nn.Bernoulli(0.7)))
    truth, average = averaged(net, random_params(net, 9, 1.5), np.array([[0.4, -0.9]]), Categorical())
    p = np.exp(truth.f) / np.exp(truth.f).sum(axis=2, keepdims=True)
    geometric = np.exp(truth.expect(np.log(p)))
    normalised = np.abs(average.mean - geometric / geometric.sum()).max()
    gap = np.abs(truth.mean - average.mean).max()
    # dropout after the pooling instead of before it, and no non-linearity after: linear in z
    net = nn.Network((5, 5, 1), c=nn.Conv2d(1, 2, 2), p=nn.MaxPool2d(2), r=nn.ReLU(), f=nn.Flatten(),
                     d=nn.Dense(8, 3, noise=nn.Bernoulli(0.3)))
    params = random_params(net, 10)
    truth, average = averaged(net, params, np.random.default_rng(10).standard_normal((1, 5, 5, 1)))
    size = np.abs(truth.f).max() + (np.abs(params["d"]["M"]).sum(axis=1) * 8).max()
    return [
        Finding("prediction-weight-averaging", "weight averaging is not the predictive mean: for relu(z_1 - z_2) it is 0, the mean is 1/4",
                "weight averaging against 0, enumeration against 1/4", quarter, rounding(4, 1), "rounding"),
        Finding("prediction-weight-averaging-classes",
                f"with linear logits it is not either: weight averaging says {sigmoid(keep * a):.3f} where p(y = 1 | x) = {wanted:.3f}",
                "both against keep sigm(a) + (1-keep)/2 and sigm(keep a)", sure, rounding(4, 1), "rounding"),
        Finding("prediction-weight-averaging-geometric",
                f"with linear logits weight averaging is the normalised geometric mean of the passes, here {gap:.2f} from their mean",
                "weight averaging against softmax-normalised exp(E log p) over 32 masks", normalised, rounding(32 * 5, 16),
                "rounding; logits are below 16"),
        Finding("prediction-weight-averaging-linear",
                "weight averaging is exact for regression where f is linear in z: noise before the last layer only",
                "weight averaging against enumeration, conv-pool-relu-dense with noise after the pool",
                np.abs(truth.mean - average.mean).max(), rounding(2**8 + 8, size), "rounding"),
    ]


def pooled(values, keep, size, level=1.0, stride=None):
    """(exact, weight averaging, probabilistic pooling) of max-pooling values (H, W) times level, dropped one by one before."""
    net = nn.Network((*values.shape, 1), c=nn.Conv2d(1, 1, 1, noise=nn.Bernoulli(keep)), p=nn.MaxPool2d(size, stride), f=nn.Flatten())
    model = BayesianNetwork(net, likelihood=Gaussian(1.0), params={"c": {"M": np.full((1, 1, 1, 1), level), "b": np.zeros(1)}})
    x = values[None, :, :, None]
    return (exact.predict(net, model.params, model.likelihood, x).mean[0],
            *(model.predict(x, rule=rule).mean[0] for rule in ("weight-averaging", "probabilistic-pooling")))


def max_pooling():
    """Claim 9: the two numbers, and the multinomial rule."""
    worst, rule, window = 0.0, 0.0, np.array([[4.0, 2.0], [1.0, 3.0]])
    # kept with probability 1/2 and doubled, so that each unit keeps its mean
    for values, true, averaged_to in ((np.ones((2, 2)), 1.875, 1.0), (-np.ones((2, 2)), -0.125, -1.0),
                                      (window, 4 + 3 / 2 + 2 / 4 + 1 / 8, 4.0)):
        mean, average, probabilistic = pooled(values, 0.5, 2, level=2.0)
        worst = max(worst, abs(mean.item() - true), abs(average.item() - averaged_to), abs(probabilistic.item() - true))
    rng, largest = np.random.default_rng(11), 0.0
    for keep in (0.3, 0.5, 0.9):
        for shape, size, stride in (((4, 4), 2, 2), ((3, 3), 3, 3), ((3, 5), 2, 1)):
            draw = rng.standard_normal(shape)
            for values in (draw, -np.abs(draw), np.abs(draw), np.round(draw)):           # any sign, none positive, none negative, ties
                mean, _, probabilistic = pooled(values, keep, size, stride=stride)
                rule, largest = max(rule, np.abs(mean - probabilistic).max()), max(largest, np.abs(values).max())
    return [
        Finding("prediction-max-pool",
                "dropout before max-pooling biases weight averaging: of 4 ones it makes 1, not 1.875; of 4 minus ones -1, not -0.125",
                "kept with probability 1/2 and doubled: enumeration, weight averaging and the multinomial rule, and 4 3 2 1 to 6.125",
                worst, rounding(2**4, 8), "rounding in a sum over 2^4 masks"),
        Finding("prediction-max-pool-rule",
                "max-pooling after dropout has mean sum keep(1-keep)^(i-1) x_(i) over sorted positives (Wu, Gu); with none, keep^m max x",
                "probabilistic pooling against enumeration: three keeps, three windows, any signs, ties", rule, rounding(2**16, largest),
                "rounding in a sum over 2^16 masks"),
    ]


CLAIMS = (monte_carlo, weight_averaging, max_pooling)
