"""One network trained and tested: error, nll, calibration, clothes told from digits, seconds; and pairs."""

import math
import time
from concurrent.futures import Executor
from itertools import combinations

import numpy as np

from ... import data, metrics, nn
from ...bayes import sparsity
from ...model import BayesianNetwork
from ...progress import bar
from ...spread import Record, alone, spread
from .. import common
from .techniques import TECHNIQUES

BATCH, RATE = 128, 1e-3
GAMMA, POWER = 4.0, 1.0  # rate_t = RATE (1 + GAMMA t/steps)^-POWER: a fifth of it at the end
RULES = ("weight-averaging", "mc")


def images(count: int, test: int) -> dict:
    """The first digits of both sets and as many clothes, in rows of 784 pixels between 0 and 1."""
    x, y, x_test, y_test = data.mnist()

    def rows(a: np.ndarray, most: int) -> np.ndarray:
        return np.ascontiguousarray(a[:most].reshape(len(a[:most]), -1))

    return {"x": rows(x, count), "y": y[:count], "x_test": rows(x_test, test), "y_test": y_test[:test],
            "clothes": rows(data.fashion_mnist()[0], test)}


def steps_of(epochs: float, num_data: int) -> int:
    return max(1, round(epochs * -(-num_data // BATCH)))


def trained(name: str, digits: dict, steps: int, seed: int, threads: int | None,
            progress: bool) -> tuple[BayesianNetwork, float]:
    """(the network under one q, seconds a step)."""
    technique = TECHNIQUES[name]
    model = BayesianNetwork(technique.network(), technique.prior)
    optimizer = nn.Adam(RATE, policy="inv", gamma=GAMMA / steps, power=POWER, multipliers=rates(model.net))
    history = model.fit(digits["x"], digits["y"], steps=steps, batch_size=BATCH, optimizer=optimizer,
                        seed=seed, kl_factor=technique.kl_factor(steps), threads=threads, progress=progress)
    return model, sum(row["seconds"] for row in history) / steps


def rates(net: nn.Network) -> dict:
    """Multipliers of Adam's rate with which E[W] = E[z] M moves alike under every q.

    Adam's step has the size of the rate, whatever the gradient's: M is to move by the rate over E[z]. It
    begins as Xavier's over E[z] anyway (nn.Dense).
    """
    noises = {name: net.layers[name].noise for name in net.noisy}
    return {name: {"M": 1 / float(np.mean(noise.mean))} for name, noise in noises.items()
            if not noise.additive}


def tested(model: BayesianNetwork, rule: str, digits: dict, samples: int, seed: int, threads: int | None,
           progress: bool) -> tuple[dict, np.ndarray]:
    """(the scores by one rule, where it is wrong (N,)); clothes are told from digits by the entropy."""
    options = {"rule": rule, "samples": samples, "seed": seed, "threads": threads, "progress": progress}
    began = time.perf_counter()
    inside = model.predict(digits["x_test"], **options)
    took = time.perf_counter() - began
    outside = model.predict(digits["clothes"], **options)
    y = digits["y_test"]
    scores = {"error": inside.error(y), "nll": -float(inside.log_likelihood(y).mean()),
              "ece": metrics.calibration(inside.mean, y).ece,
              "auroc": metrics.auroc(inside.entropy, outside.entropy),
              "seconds_a_pass": took / (samples if rule == "mc" else 1)}
    return scores, inside.label != y


def pruned(model: BayesianNetwork, digits: dict, threads: int | None) -> dict:
    """What is left of a network without the weights of large alpha, and how well it does."""
    params = sparsity.prune(model.net, model.params)
    left = BayesianNetwork(model.net, model.prior, params=params)
    error = left.predict(digits["x_test"], rule="weight-averaging", threads=threads).error(digits["y_test"])
    compression = sparsity.compression(model.net, model.params)
    return {"error": error, "compression": compression if math.isfinite(compression) else None}


def study(names: tuple, digits: dict, seeds: list[int], steps: int, samples: int,
          threads: int | None = None, progress: bool = False, executor: Executor | None = None,
          record: Record | None = None) -> dict:
    """What posteriors.json has beside settings: "results", "learned", "pruned", "pairs"."""
    found = {"results": [], "learned": [], "pruned": [], "pairs": []}
    common_part = {"images": len(digits["x"]), "test": len(digits["x_test"]), "steps": steps,
                   "samples": samples}
    jobs = [{"q": name, "seed": seed} | common_part for seed in seeds for name in names]
    with bar(progress, len(jobs), "networks", " networks") as progress_bar:
        made = spread(alone(network, executor, threads, progress, digits=digits), jobs, executor,
                      finished=lambda i: progress_bar.update(1), record=record)
    for part in ("results", "learned", "pruned"):
        found[part] = [row for one in made for row in one[part]]
    for seed in seeds:
        wrong = {job["q"]: one["wrong"] for job, one in zip(jobs, made, strict=True) if job["seed"] == seed}
        found["pairs"] += pairs(wrong, seed)
    return found


def network(job: dict, threads: int | None = None, progress: bool = False,
            digits: dict | None = None) -> dict:
    """One network's rows of each part, and where it is "wrong" by its last rule."""
    name, seed, samples = job["q"], job["seed"], job["samples"]
    digits = images(job["images"], job["test"]) if digits is None else digits
    found = {"results": [], "learned": [], "pruned": []}
    model, step = trained(name, digits, job["steps"], seed, threads, progress)
    about = {"q": name, "seed": seed}
    for rule in RULES if TECHNIQUES[name].random else RULES[:1]:
        scores, found["wrong"] = tested(model, rule, digits, samples, seed, threads, progress)
        found["results"].append(about | {"rule": rule} | scores | {"seconds_a_step": step})
    if model.net.learned:
        found["learned"].append(about | {"layers": common.learned(model)})
    if name == "sparse":
        found["pruned"].append(about | pruned(model, digits, threads))
    return found


def pairs(wrong: dict[str, np.ndarray], seed: int) -> list[dict]:
    """Each two networks on the same images, by MC (none: its one pass): McNemar's exact test.

    difference: of their errors, a - b; its standard error is that of a paired difference,
    sqrt(n_a + n_b - (n_a - n_b)^2/N)/N with n_a images that a alone gets wrong.
    """
    rows = []
    for a, b in combinations(wrong, 2):
        only_a, only_b, p = metrics.mcnemar(wrong[a], wrong[b])
        count = len(wrong[a])
        spread = math.sqrt(only_a + only_b - (only_a - only_b) ** 2 / count) / count
        rows.append({"seed": seed, "a": a, "b": b, "only_a_wrong": only_a, "only_b_wrong": only_b,
                     "p_value": p, "difference": (only_a - only_b) / count, "difference_se": spread})
    return rows
