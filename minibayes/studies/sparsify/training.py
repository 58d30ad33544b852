"""784-300-100-10 by sparse variational dropout: the network, its schedule, and one stage of the training.

The settings are those of a published small run (98.4 % right with 32.9 x fewer weights): log s is -5 at
first, pixels are standardised, 100 epochs of batches of 100, and Adam's rate falls in steps once the KL
counts whole. Until then its share grows linearly from nothing: what such a fit minimises is no bound, and
the table says so. It takes so many steps because most weights that go are not pushed hard: the KL's pull on
them is small beside the noise of the gradient.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from ... import nn
from ...model import BayesianNetwork

SIZES = (784, 300, 100, 10)
LAYERS = ("fc1", "fc2", "fc3")
PIXEL_MEAN, PIXEL_STD = 0.1307, 0.3081
LOG_STD = -5.0


class Schedule(NamedTuple):
    """How sparse variational dropout is trained."""

    epochs: float
    batch: int = 100
    warm_up: float = 0.5  # of all steps: the KL's share grows
    # Of all steps, and the rate of Adam, who begins anew in each stage.
    stages: tuple = ((0.5, 1e-3), (0.1, 2e-4), (0.1, 4e-5), (0.1, 8e-6), (0.2, 1.6e-6))

    def epoch(self, images: int) -> int:
        return -(-images // min(self.batch, images))

    def steps(self, images: int) -> int:
        return max(len(self.stages), round(self.epochs * self.epoch(images)))

    def warm(self, images: int) -> int:
        """How many steps count the KL in part."""
        return max(1, round(self.warm_up * self.steps(images)))

    def ends(self, images: int) -> list[int]:
        """The step after which each stage ends; one that ends where it begins has no steps."""
        steps, shares = self.steps(images), [share for share, _ in self.stages]
        return [round(steps * sum(shares[:i + 1])) for i in range(len(shares))]


def network(log_std: float = LOG_STD) -> nn.Network:
    noise, layers = nn.MeanField(math.exp(log_std)), {}
    for i, (n_in, n_out) in enumerate(zip(SIZES, SIZES[1:], strict=False), start=1):
        layers[f"fc{i}"] = nn.Dense(n_in, n_out, noise=noise)
        if i < len(SIZES) - 1:
            layers[f"relu{i}"] = nn.ReLU()
    return nn.Network(**layers)


def rows(images: np.ndarray) -> np.ndarray:
    """(N, 784), standardised as published."""
    return ((images.reshape(len(images), -1) - PIXEL_MEAN) / PIXEL_STD).astype(np.float32)


def share_of_kl(before: int, warm_up: int, step: int) -> float:
    """How much of the KL counts at a step of a stage that so many steps went `before`."""
    return min((before + step + 1) / warm_up, 1.0)


def fit(model: BayesianNetwork, x: np.ndarray, y: np.ndarray, schedule: Schedule, seed: int,
        threads: int | None = None, progress: bool = False, report: Callable | None = None) -> list:
    """Train by a schedule, in its stages; the history, a row an epoch with what `report` adds."""
    return [row for at in range(len(schedule.stages))
            for row in stage(model, x, y, schedule, seed, at, threads, progress, report)]


def stage(model: BayesianNetwork, x: np.ndarray, y: np.ndarray, schedule: Schedule, seed: int, at: int,
          threads: int | None = None, progress: bool = False, report: Callable | None = None) -> list:
    """Stage `at` of it alone: all that it has of those before are the model's parameters."""
    count, epoch = len(x), schedule.epoch(len(x))
    before, end = (0, *schedule.ends(count))[at:at + 2]
    if before == end:
        return []
    found = model.fit(x, y, steps=end - before, batch_size=schedule.batch, params=model.params,
                      optimizer=nn.Adam(schedule.stages[at][1]), seed=nn.Key(seed).derive(f"stage {at}").seed,
                      kl_factor=partial(share_of_kl, before, schedule.warm(count)), report_every=epoch,
                      on_report=report, threads=threads, progress=progress)
    return [row | {"step": row["step"] + before, "epoch": (row["step"] + before) / epoch} for row in found]
