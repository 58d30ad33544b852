"""One point of the picture is one file: written, measured on disk, read again, and the reader tested."""

import math
import tempfile
from pathlib import Path

from ... import compress, metrics, nn
from ...estimators import load
from ...model import BayesianNetwork
from .networks import HASHED, MATRICES, Trainer

THRESHOLDS = {"mlp": (3.0, 2.0, 1.0), "lenet": (3.0, 2.0)}
THRESHOLD = 2.0  # log alpha at which what is shared was pruned
SHARED = {"k-means, 8": compress.KMeans(8), "k-means, 16": compress.KMeans(16),
          "k-means, 32": compress.KMeans(32),
          "Dirichlet process, s = 0.05 rms": compress.DirichletProcess(std=0.05),
          "Dirichlet process, s = 0.1 rms": compress.DirichletProcess(std=0.1),
          "Dirichlet process, s = 0.2 rms": compress.DirichletProcess(std=0.2)}
DENSE = {"k-means, 2": compress.KMeans(2), "k-means, 4": compress.KMeans(4),
         "k-means, 16": compress.KMeans(16), "k-means, 1/64": compress.KMeans(1 / 64)}
OWN = "Dirichlet process, s = 0.3 x q's"
MORE_RATE = 1e-3  # of training on; half of it once values are shared


class Points:
    """Collects rows {net, seed, family, name, bytes, error, ...} of one network's files.

    Each is compared on the test images with the first, the dense network's: McNemar's exact test.
    """

    def __init__(self, trainer: Trainer, kind: str, threads: int | None):
        self.trainer, self.kind, self.threads = trainer, kind, threads
        self.rows, self.dense_wrong = [], None

    def add(self, model: BayesianNetwork, family: str, name: str, made: compress.Compressed | None = None,
            compact: bool = True) -> None:
        """Write, measure, read, test."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.npz"
            model.save(path, compact=compact)
            size, read = path.stat().st_size, load(path)
        found = read.predict(self.trainer.x_test[self.kind], rule="weight-averaging", threads=self.threads)
        wrong = found.label != self.trainer.y_test
        if self.dense_wrong is None:
            self.dense_wrong = wrong
        only_dense, only_here, p = metrics.mcnemar(self.dense_wrong, wrong)
        row = {"net": self.kind, "seed": self.trainer.settings["seed"], "family": family, "name": name,
               "bytes": size, "error": found.error(self.trainer.y_test), "images": len(wrong),
               "only_dense_wrong": only_dense, "only_here_wrong": only_here, "p_value": p}
        if made is not None:  # against the network that it all began with
            left, bits = sum(r.left for r in made.rows), sum(r.bits for r in made.rows)
            row |= {"fewer_weights": MATRICES[self.kind] / left if left else None,
                    "fewer_bits": 32 * MATRICES[self.kind] / bits if bits else None,
                    "values": [r.values for r in made.rows]}
        self.rows.append(row)

    def step(self, net: nn.Network, params: dict, how: object, family: str, name: str,
             epochs: float = 0) -> BayesianNetwork:
        """The point of what is left by `how`, and with `epochs` that of it trained on; the last model."""
        made = compress.compress(net, params, how, seed=self.trainer.settings["seed"])
        model = BayesianNetwork(made.net, params=made.params)
        self.add(model, family, name, made)
        if epochs and math.isfinite(made.fewer_weights):
            rate = MORE_RATE if family == "pruned" else MORE_RATE / 2
            model = self.trainer.fit(self.kind, made.net, epochs, "more", rate=rate, params=made.params)
            self.add(model, family, f"{name}, trained on", compress.compress(model.net, model.params, ()))
        return model

    def dense(self, model: BayesianNetwork) -> None:
        self.add(model, "dense", "float32, as any file", compact=False)
        self.add(model, "dense", "compact")

    def shared_dense(self, model: BayesianNetwork, epochs: float) -> None:
        """All weights, few values."""
        for name, how in DENSE.items():
            self.step(model.net, model.params, how, "shared", name, epochs)
        self.step(model.net, model.params, compress.AtRandom(1 / 64), "shared", "at random, 1/64")

    def pruned(self, model: BayesianNetwork, epochs: float) -> BayesianNetwork:
        """By log alpha, each trained on; the one at THRESHOLD."""
        kept = None
        for at in THRESHOLDS[self.kind]:
            found = self.step(model.net, model.params, compress.LogAlpha(at), "pruned", f"log alpha > {at:g}",
                              epochs)
            kept = found if at == THRESHOLD else kept
        return kept

    def by_noise(self, model: BayesianNetwork, shares: tuple) -> None:
        for share in shares:
            self.step(model.net, model.params, compress.SignalToNoise(share), "signal to noise",
                      f"{100 * share:g} % by |m|/s")

    def both(self, sparse: BayesianNetwork, kept: BayesianNetwork, epochs: float) -> None:
        """Pruned and shared: what was pruned and trained on; and at once, by q's own uncertainty."""
        for name, how in SHARED.items():
            self.step(kept.net, kept.params, how, "pruned and shared", name, epochs)
        self.step(kept.net, kept.params, compress.AtRandom(16), "pruned and shared", "at random, 16")
        how = compress.LogAlpha(THRESHOLD), compress.DirichletProcess(blur=0.3)
        self.step(sparse.net, sparse.params, how, "pruned and shared", OWN)

    def hashed(self) -> None:
        for share in HASHED:
            self.add(self.trainer.hashed(share), "hashed", f"1/{round(1 / share)} of the values, at random")
