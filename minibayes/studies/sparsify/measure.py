"""Jobs: one stage of one network's training; and at its end what can go of it, by threshold and at thirty."""

import math
from concurrent.futures import Executor

import numpy as np

from ... import bayes, compress, data, nn
from ...model import BayesianNetwork
from ...progress import bar
from ...spread import Record, alone, spread
from . import training
from .training import Schedule

THRESHOLDS = tuple(range(-4, 9))
FEWER = 30.0  # the cut that is trained on: so many times fewer weights, or just above
MORE_EPOCHS, MORE_RATE, BATCH = 3, 1e-3, 100  # the rate is a tenth at the end of the last half
KEPT = ("epoch", "step", "loss", "nll", "kl_factor", "bound", "error", "pruned")


def images(count: int) -> dict:
    """The first digits of MNIST, and its test set, in rows."""
    x, y, x_test, y_test = data.mnist()
    return {"x": training.rows(x[:count]), "y": y[:count], "x_test": training.rows(x_test), "y_test": y_test}


def model_of(params: dict | None) -> BayesianNetwork:
    return BayesianNetwork(training.network(), bayes.LogUniform(), params=params)


def pruned(model: BayesianNetwork, digits: dict, threads: int | None,
           threshold: float = bayes.sparsity.THRESHOLD, samples: int = 0) -> dict:
    """The error without the weights of log alpha above the threshold, and how many are left.

    samples: passes under the noise of those that are left, for "mc_error"; 0: none.
    """
    params = bayes.sparsity.prune(model.net, model.params, threshold)
    left = BayesianNetwork(model.net, model.prior, params=params)
    compression = bayes.sparsity.compression(model.net, model.params, threshold)
    x, y = digits["x_test"], digits["y_test"]
    found = {"threshold": threshold,
             "error": left.predict(x, rule="weight-averaging", threads=threads).error(y),
             "compression": compression if math.isfinite(compression) else None,
             "sparsity": bayes.sparsity.sparsity(model.net, model.params, threshold)}
    if samples:
        found["mc_error"] = left.predict(x, samples=samples, seed=0, threads=threads).error(y)
    return found


def threshold_at(model: BayesianNetwork, fewer: float = FEWER) -> float:
    """The log alpha above which all but one in `fewer` weights lie: looks at no image."""
    every = np.sort(np.concatenate([a.ravel() for a in bayes.sparsity.log_alpha(model.net,
                                                                                model.params).values()]))
    return float(every[max(1, int(len(every) / fewer)) - 1])


def trained_on(model: BayesianNetwork, threshold: float, digits: dict, seed: int, threads: int | None,
               progress: bool) -> float:
    """The error of what is left above, without noise, after a few epochs more in which zeros stay zeros."""
    made = compress.compress(model.net, model.params, compress.LogAlpha(threshold), seed=seed)
    steps = max(2, round(MORE_EPOCHS * -(-len(digits["x"]) // BATCH)))
    rate = nn.Adam(MORE_RATE, policy=lambda t: 0.1 ** max(0.0, 2 * t / steps - 1))
    small = BayesianNetwork(made.net, bayes.Prior(1.0))
    small.fit(digits["x"], digits["y"], steps=steps, batch_size=BATCH, seed=nn.Key(seed).derive("more").seed,
              optimizer=compress.tied(made.params, rate), params=made.params, threads=threads,
              progress=progress)
    return small.predict(digits["x_test"], rule="weight-averaging", threads=threads).error(digits["y_test"])


def trained(job: dict, threads: int | None = None, progress: bool = False,
            digits: dict | None = None) -> dict:
    """One stage of one network, from the "params" of the stage before: {"params", "history"}."""
    digits = images(job["images"]) if digits is None else digits
    model = model_of(job["params"])

    def report(snapshot: BayesianNetwork, row: dict) -> dict:
        plain = snapshot.predict(digits["x_test"], rule="weight-averaging", threads=threads)
        return {"error": plain.error(digits["y_test"]), "pruned": pruned(snapshot, digits, threads)}

    history = training.stage(model, digits["x"], digits["y"], Schedule(job["epochs"]), job["seed"],
                             job["stage"], threads, progress, report)
    return {"params": {name: dict(group) for name, group in model.params.items()},
            "history": [{name: row[name] for name in KEPT if name in row} for row in history]}


def finished(job: dict, threads: int | None = None, progress: bool = False,
             digits: dict | None = None) -> dict:
    """What can go of a trained network: {"final", "thresholds"}."""
    digits = images(job["images"]) if digits is None else digits
    model, samples, seed = model_of(job["params"]), job["samples"], job["seed"]
    x, y = digits["x_test"], digits["y_test"]
    mc = model.predict(x, samples=samples, seed=seed, threads=threads)
    at = threshold_at(model)
    final = {"error": model.predict(x, rule="weight-averaging", threads=threads).error(y),
             "mc_error": mc.error(y), "mc_nll": -float(mc.log_likelihood(y).mean()),
             "pruned": pruned(model, digits, threads, samples=samples),
             "cut": pruned(model, digits, threads, at, samples),
             "trained_on": trained_on(model, at, digits, seed, threads, progress), "test_images": len(y)}
    return {"final": final,
            "thresholds": [pruned(model, digits, threads, float(each)) for each in THRESHOLDS]}


def study(settings: dict, threads: int | None = None, progress: bool = False,
          executor: Executor | None = None, record: Record | None = None) -> list[dict]:
    """A row for each seed: {"seed", "history", a row an epoch; "final"; "thresholds"}.

    Stage by stage, in each one job for every seed: after an interrupt no stage that has ended is done again.
    """
    digits, seeds = images(settings["images"]), settings["seeds"]
    schedule = Schedule(settings["epochs"])
    ends = (0, *schedule.ends(len(digits["x"])))
    stages = [at for at in range(len(schedule.stages)) if ends[at + 1] > ends[at]]
    params, found = [None] * len(seeds), [{"seed": seed, "history": []} for seed in seeds]
    with bar(progress, len(seeds) * (len(stages) + 1), "stages", " stages") as progress_bar:

        def all_seeds(task, **of_stage) -> list:
            jobs = [{"seed": seed, "images": len(digits["x"]), "params": before} | of_stage
                    for seed, before in zip(seeds, params, strict=True)]
            return spread(alone(task, executor, threads, progress, digits=digits), jobs, executor,
                          finished=lambda i: progress_bar.update(1), record=record)

        for at in stages:
            made = all_seeds(trained, epochs=settings["epochs"], stage=at)
            params = [one["params"] for one in made]
            for row, one in zip(found, made, strict=True):
                row["history"] += one["history"]
        last = all_seeds(finished, samples=settings["samples"])
    return [row | one for row, one in zip(found, last, strict=True)]
