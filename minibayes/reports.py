"""What joins a row of a history, scores and what the caller's report adds; and when a run stops by it."""

import copy
import math
from collections.abc import Callable

import numpy as np

from . import require


class Reports:
    """Called with (parameters, row), it gives (what joins the row, whether the run goes on).

    model: the BayesianNetwork that is trained; each report gets one of its own.
    validation: (x, y, weights or None) as the model takes them, or None.
    samples: T of their MC.
    seed: of their noise.
    threads: of their passes.
    on_report: (model, row) -> a dict that joins the row, or None; False ends the run.
    """

    def __init__(self, model: object, validation: tuple | None, samples: int, seed: int, threads: int | None,
                 on_report: Callable | None):
        self.model, self.validation, self.on_report = model, validation, on_report
        self.samples = samples if model.net.noisy else 1
        self.seed, self.threads = seed, threads

    def __call__(self, params: dict, row: dict) -> tuple[dict, bool]:
        model = type(self.model)(self.model.net, self.model.prior, self.model.likelihood, params)
        added = {}
        if self.validation is not None:
            added["validation"] = {rule: self._score(model, rule) for rule in ("weight-averaging", "mc")}
        if self.on_report is None:
            return added, True
        extra = self.on_report(model, copy.deepcopy(row | added))
        if isinstance(extra, dict):
            return added | copy.deepcopy(extra), True
        if extra is not None and not (isinstance(extra, (bool, np.bool_)) and not extra):
            raise require.InputError("on_report must return a dict, None, or False to end the run, got "
                                     f"{extra!r}")
        return added, extra is None

    def _score(self, model, rule):
        x, y, weights = self.validation
        made = model.predict(x, rule=rule, samples=self.samples, seed=self.seed, threads=self.threads)
        return made.score(y, weights)


def stops(history: list, patience: int | None) -> tuple[bool, bool]:
    """(whether the last row is the best so far, whether `patience` rows have passed since the best).

    Best is the least validation nll by MC; the first of equals. A function of the history alone, so that a
    run that is resumed stops where it would have.
    """
    if not patience or not history:
        return False, False
    scores = [row["validation"]["mc"]["nll"] for row in history]
    best = min(range(len(scores)), key=lambda i: scores[i] if math.isfinite(scores[i]) else math.inf)
    since = len(scores) - 1 - best
    return since == 0, since >= patience
