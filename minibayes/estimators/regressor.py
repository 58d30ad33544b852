"""y = f(x, omega) + noise, with error bars: a Regressor for tables, in the units of the table."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import bayes, conformal, nn, require
from ..arrays import same_length
from ..bayes.weighted import check_weights
from ..last_layer import LastLayer
from ..model import BayesianNetwork
from . import protocol
from .estimator import Estimator, named


class Predictive(NamedTuple):
    """Of each row (N,), in the units of y: what is expected, and how uncertain it is and why."""

    mean: np.ndarray
    std: np.ndarray  # of y: the root of epistemic^2 + aleatoric^2
    epistemic: np.ndarray  # standard deviation over the functions that are held possible: more data shrink it
    aleatoric: np.ndarray  # root of the mean variance of y given the function: more data do not


class LastLayerEvidence(NamedTuple):
    """How probable rows are to the exact posterior of the last layer, features given: a check of a fit."""

    nats: float  # log evidence, a row, of y in its units, at the noise that the network has learned
    noise: float  # the standard deviation of that noise, in the units of y
    best_nats: float  # the same at the noise of the greatest evidence
    best_noise: float


class Regressor(Estimator):
    """A number predicted from a table, with its uncertainty.

        model = mb.Regressor().fit(table, prices)
        mean, std = model.predict(new, return_std=True)
        lower, upper = model.interval(new, 0.9)
        model.save("houses.npz")

    hidden: units of each hidden layer, (50,) by default.
    keep: P(z = 1) of dropout before each layer: "learned" (by default: nn.Concrete), "grid" (each of the
          published .995, .99, .95, .9 is trained, and the held-out rows choose), or a number; 1 is none.
    noise: of y given f: "constant" (by default), one variance; "varying", one that depends on x. Learned.
    activation: "relu" (by default) or "tanh".
    epochs: at most, 600 by default.
    patience: looks at the held-out rows without a better one until training stops, 20 by default.
    batch_size: rows a step, 32 by default.
    rate: of Adam, 0.005 by default.
    held_out: share of the rows that stopping and choice look at, 0.1 by default; below 20 rows none are.
    samples: T passes of a prediction, 200 by default.
    seed: of all that is random, 0 by default.
    threads: all processors by default; the result does not depend on it.
    progress: whether fit shows a bar; not by default.

    X: an array (N, D), a pandas DataFrame or a mapping {name: column}. y: (N,) numbers.
    """

    kind = "regressor"

    def __init__(self, hidden: tuple = (50,), *, keep: str | float = "learned", noise: str = "constant",
                 activation: str = "relu", epochs: float = 600, patience: int = 20, batch_size: int = 32,
                 rate: float = 0.005, held_out: float = 0.1, samples: int = 200, seed: int = 0,
                 threads: int | None = None, progress: bool = False):
        self.hidden, self.keep, self.noise, self.activation = hidden, keep, noise, activation
        self.epochs, self.patience, self.batch_size, self.rate = epochs, patience, batch_size, rate
        self.held_out, self.samples, self.seed = held_out, samples, seed
        self.threads, self.progress = threads, progress

    def checked(self) -> dict:
        return super().checked() | {"noise": require.choice("noise", self.noise, ("constant", "varying"))}

    def network(self, inputs: int, outputs: int, noise: nn.Noise) -> nn.Network:
        if self.noise == "varying":
            return super().network(inputs, 2 * outputs, noise)
        return nn.Network(**super().network(inputs, outputs, noise).layers, s=nn.Append(outputs))

    def likelihood(self) -> bayes.Likelihood:
        return bayes.Heteroscedastic()

    def fit(self, X: object, y: ArrayLike, sample_weight: ArrayLike | None = None) -> "Regressor":
        """Learn from the rows of X and y (N,); sample_weight (N,): how often each counts, 2 is the row twice.

        y_mean_, y_std_: of the weighted targets, which the network learns in standard units.
        """
        self.checked()
        self.target_name_ = named(y)
        y = target(y)
        columns, x, y, weights = self.prepared(X, sample_weight, y, y)
        mean = float(np.average(y, weights=weights))
        std = float(np.sqrt(np.average((y - mean) ** 2, weights=weights)))
        self.y_mean_, self.y_std_ = mean, std if std > 1e-12 * abs(mean) else 1.0
        self.train(columns, x, (y - self.y_mean_) / self.y_std_, weights, 1)
        return self

    def predict(self, X: object, return_std: bool = False) -> np.ndarray | tuple:
        """The mean of y for each row, (N,); with return_std (mean, std): that of y, noise and ignorance."""
        found = self.predictive(X)
        return (found.mean, found.std) if require.boolean("return_std", return_std) else found.mean

    def predictive(self, X: object) -> Predictive:
        """Mean, std, and the two parts of std."""
        made = self.predicted(X)
        parts = np.sqrt(made.epistemic[:, 0]), np.sqrt(made.aleatoric[:, 0])
        return Predictive(self.y_mean_ + self.y_std_ * made.mean[:, 0],
                          *(self.y_std_ * part for part in (made.std[:, 0], *parts)))

    def interval(self, X: object, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """(lower, upper), each (N,): exact quantiles of the predictive mixture, equal tails."""
        level = require.real("level", level, 0, 1, open_low=True, open_high=True)
        lower, upper = self.predicted(X).interval(level)
        return self.y_mean_ + self.y_std_ * lower[:, 0], self.y_mean_ + self.y_std_ * upper[:, 0]

    def log_likelihood(self, X: object, y: ArrayLike) -> np.ndarray:
        """log p(y_n | x_n), nats, (N,), of y in its own units: a density of y is one of y' over std."""
        made = self.predicted(X)
        return made.log_likelihood((target(y) - self.y_mean_) / self.y_std_) - np.log(self.y_std_)

    def evidence(self, X: object, y: ArrayLike) -> LastLayerEvidence:
        """log N(y; 0, Phi Phi'/l^2 + I/tau)/N, nats: Phi the features of the rows of the fit, l the best.

        A check of keep and tau, no rows held out: of fits that differ in keep, the one that makes its data
        probable; and whether the noise that was learned is that of the last layer by itself (`LastLayer`).
        It is the larger where dropout has to be made up for. A check and no choice, because the features
        have seen y: too flexible ones are not found out. y (N,). Needs noise="constant" and hidden units.
        """
        if not self.__sklearn_is_fitted__():
            raise protocol.not_fitted(type(self).__name__)
        layers = dict(self.network_.net.layers)
        if layers.pop("s", None) is None or len(layers) < 2:
            raise require.InputError("evidence needs noise='constant' and hidden units: an exact last layer "
                                     f"has one tau, and features; got {self!r}")
        x, y = self.columns_.encoded(X, type(self).__name__), (target(y) - self.y_mean_) / self.y_std_
        same_length(X=x, y=y)
        params = dict(self.network_.params)
        tau = float(np.exp(-params.pop("s")["s"][0]))
        network = BayesianNetwork(nn.Network(**layers), self.network_.prior, bayes.Gaussian(tau), params)
        found = []
        for exact in (LastLayer(network, x, y, tau=tau), LastLayer(network, x, y)):
            found += [float(exact.evidence / len(y) - np.log(self.y_std_)),
                      float(self.y_std_ / np.sqrt(exact.tau))]
        return LastLayerEvidence(*found)

    def conformal_scores(self, X: object, y: ArrayLike, scaled: bool) -> np.ndarray:
        """How badly each prediction fits its truth: what `Conformal` ranks."""
        mean, std = self.predict(X, return_std=True)
        return conformal.residual_scores(mean, target(y), std if scaled else None)

    def score(self, X: object, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """R^2 = 1 - sum_n w_n (y_n - mean_n)^2 / sum_n w_n (y_n - average)^2."""
        mean, y = self.predict(X), target(y)
        same_length(X=mean, y=y)
        given = np.ones(len(y)) if sample_weight is None else sample_weight
        weights = check_weights("sample_weight", given, len(y))
        residual = weights @ (y - mean) ** 2
        total = weights @ (y - np.average(y, weights=weights)) ** 2
        return float(1 - residual / total) if total else float(residual == 0)


def target(y: ArrayLike) -> np.ndarray:
    """y as finite float64 (N,); a column (N, 1) is taken for one."""
    if y is None:
        raise require.InputError("y must be given: fit requires y to be passed, but the target y is None")
    if np.asarray(y).dtype.kind == "c":
        raise require.InputError("y must be real numbers: Complex data not supported")
    y = require.array("y", y)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim != 1:
        raise require.InputError(f"y must have shape (N,), one number a row, got {y.shape}")
    return require.finite("y", y.astype(np.float64))
