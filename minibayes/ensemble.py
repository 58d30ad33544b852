"""p(y | x) = (1/M) sum_m p(y | x, member m): deep ensembles, M trainings of one network from M seeds.

Each member has its own initial weights, order of examples and noise. A member with noise is itself an average
over passes; all M T passes are then averaged together, so a prediction has the same means, entropies and
parts of variance as that of one model. Lakshminarayanan, Pritzel and Blundell, arXiv 1612.01474 (without
their adversarial examples).
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike

from . import require, storage
from .bayes.likelihood import Likelihood
from .bayes.prediction import Prediction
from .bayes.summary import LogMean
from .floats import usual
from .model import BayesianNetwork
from .nn import Key
from .spread import alone, spread


class Ensemble:
    """M BayesianNetworks that predict together.

        ensemble = mb.Ensemble.of(model, 5).fit(x, y, epochs=20)
        ensemble.predict(x_test).mutual_information

    members: at least one BayesianNetwork, with one likelihood; networks may differ in their layers.
    """

    def __init__(self, members: Sequence):
        self.members = tuple(members)
        if not self.members or not all(hasattr(one, "predict") and hasattr(one, "likelihood")
                                       for one in self.members):
            raise require.InputError("members must be BayesianNetworks, at least one, got "
                                     f"{list(self.members)!r}")
        self.likelihood = self.members[0].likelihood
        if any(one.likelihood != self.likelihood for one in self.members):
            raise require.InputError("members must have one likelihood, got "
                                     f"{', '.join(dict.fromkeys(repr(m.likelihood) for m in self.members))}")

    @classmethod
    def of(cls, model: BayesianNetwork, members: int = 5) -> "Ensemble":
        """So many untrained members with the network, prior and likelihood of `model`, which stays itself."""
        count = require.integer("members", members, 1)
        return cls([BayesianNetwork(model.net, model.prior, model.likelihood) for _ in range(count)])

    def __repr__(self) -> str:
        return f"Ensemble of {len(self.members)}: {self.members[0]!r}"

    def fit(self, x: ArrayLike, y: ArrayLike, *, seed: int = 0, executor: Executor | None = None,
            threads: int | None = None, progress: bool = False, **options) -> "Ensemble":
        """Train each member as `BayesianNetwork.fit` does, from a seed of its own.

        seed: of all of them, 0 by default; member m has `member_seed(seed, m)`.
        executor: anything with the `submit` of concurrent.futures (see spread.py), for which each member is a
                  job of one thread; None by default: one after another, here. The bits are the same.
        threads, progress: of each fit, where it is here.
        options: those of BayesianNetwork.fit; not params or checkpoint, which each member would share.
        """
        for name in ("params", "checkpoint"):
            if options.get(name) is not None:
                raise require.InputError(f"{name} is for one model: fit the members one by one, "
                                         "and give Ensemble the list")
        jobs = [(member, x, y, options | {"seed": member_seed(seed, m)})
                for m, member in enumerate(self.members)]
        for member, (params, history) in zip(self.members, spread(
                alone(fitted, executor, threads, progress), jobs, executor), strict=True):
            member.params, member.history = params, history
        return self

    def save(self, path: str | PathLike) -> None:
        """Write all members to one .npz file, whole or not at all; `mb.load` reads it."""
        members, arrays = [], {}
        for m, member in enumerate(self.members):
            params = member.in_order()
            members.append(storage.model_header(member, params))
            arrays |= storage.flatten(f"{m}/params", params)
        storage.write(path, {"kind": storage.ENSEMBLE, "members": members}, arrays)

    @classmethod
    def load(cls, path: str | PathLike) -> "Ensemble":
        """The Ensemble that `save` wrote. Any other file: one error, nothing is run."""
        with storage.opened(path) as archive:
            members = storage.read_header(archive, (storage.ENSEMBLE,))["members"]
            return cls([BayesianNetwork(*storage.model_of(archive, header, f"{m}/params"))
                        for m, header in enumerate(members)])

    @usual
    def predict(self, x: ArrayLike, *, samples: int = 50, seed: int = 0, shared: bool = False,
                threads: int | None = None) -> Prediction:
        """The predictive distribution at x: means, entropies and parts of variance over all members' passes.

        x: inputs, (N, ...).
        samples: T passes of each member with noise, 50 by default; one without has one pass.
        seed, shared, threads: as of BayesianNetwork.predict; member m's noise has a seed of its own.

        All M T outputs are held in memory at once. `std_error` is that of a mean over members, which is what
        another ensemble of as many members would differ by; NaN of one member alone.
        """
        samples, parts = require.integer("samples", samples, 1), []
        for m, member in enumerate(self.members):
            noisy = bool(member.net.noisy)
            rule = "mc" if noisy else "weight-averaging"
            made = member.predict(x, samples=samples, rule=rule, seed=member_seed(seed, m), shared=shared,
                                  keep_samples=True, threads=threads)
            parts.append(np.asarray(made.samples, np.float64))
        # Each member counts alike, however many passes it has.
        weights = np.concatenate([np.full(len(f), 1 / len(f) / len(parts)) for f in parts])
        alike = len(set(map(len, parts))) == 1
        f = np.concatenate(parts)                                                       # (M T, N, K)
        weights = None if alike else weights
        made = self.likelihood.prediction("mc", self.likelihood.summary(f, weights),
                                          LogDensity(self.likelihood, f, weights), f)
        if not alike:
            made.weights = weights
        means = np.stack([self.likelihood.summary(part).averaged.mean for part in parts])
        made.std_error = (means.std(axis=0, ddof=1) / np.sqrt(len(means)) if len(means) > 1
                          else np.full(made.mean.shape, np.nan))
        return made


def fitted(job: tuple, threads: int | None = None, progress: bool = False) -> tuple[dict, list]:
    """(params, history) of one member, trained."""
    member, x, y, options = job
    member.fit(x, y, threads=threads, progress=progress, **options)
    return member.params, member.history


class LogDensity:
    """y -> log sum_t w_t p(y_n | f_tn), (N,), of outputs that are held."""

    def __init__(self, likelihood: Likelihood, f: np.ndarray, weights: np.ndarray | None):
        self.likelihood, self.f, self.weights = likelihood, f, weights

    def __call__(self, y: np.ndarray) -> np.ndarray:
        return LogMean(-np.stack([self.likelihood.nll(f, y)[0] for f in self.f]), self.weights).value

    def outputs(self) -> np.ndarray:
        """f of every pass, (M T, N, K)."""
        return self.f


def member_seed(seed: int, member: int) -> int:
    """A seed for each member, from one for all."""
    return Key(require.integer("seed", seed, 0, 2**64 - 1)).derive(f"member {member}").seed
