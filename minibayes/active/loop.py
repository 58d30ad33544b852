"""Train, score the pool, label b more, and again: a round is a function of labels, seed and number alone."""

import json
import re
from collections.abc import Callable, Iterator
from os import PathLike
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import files, require
from ..checkpoint import fingerprint
from ..model import BayesianNetwork
from ..nn import Key
from .scores import select

FREE = ("threads", "progress")  # options of fit that change no result
ANY = np.full((1, 1, 2), 0.5)  # probabilities that nobody looks at


class Round(NamedTuple):
    """What one round gave."""

    number: int
    labelled: list  # ids that the network was trained on
    error: float  # of that network on the test set
    nll: float  # and its mean of -log p, nats
    chosen: list  # ids that it asks for next; [] in the end


def rounds(model: BayesianNetwork, pool: tuple, test: tuple, start: ArrayLike, b: int | Callable, *,
           score: str | Callable = "bald", how: str = "top", samples: int = 20, seed: int = 0,
           record: str | PathLike | None = None, **fit) -> Iterator[Round]:
    """Yield a Round each time b more are labelled, until the pool is empty; leave the loop when it is enough.

    Each round trains the network anew: nothing is carried over but the labels. The test set is for the errors
    alone: nothing is chosen or stopped by it. The pool is scored with one omega a pass for all of its inputs:
    a batch's joint probability, (1/T) sum_t prod_i p(y_i | x_i, omega_t), is one of the same omega_t, so that
    BatchBALD knows a copy of an input.

    model: its network, prior and likelihood, for classes; it stays as it is.
    pool: (x, y) to choose from; y is looked at where it is labelled only.
    test: (x, y).
    start: ids that are labelled at the beginning.
    b: labels a round; or a function of how many there are, labelled -> b.
    score, how: of `active.select`.
    samples: T of its passes, 20 by default.
    seed: of all that is random.
    record: a JSON file, written after every round. If it exists those rounds are given again from it, and the
            loop goes on from there, bit for bit as if it had not stopped.
    fit: options of BayesianNetwork.fit.
    """
    (x, y), (x_test, y_test) = ((np.asarray(part[0]), np.asarray(part[1])) for part in (pool, test))
    labelled, fixed = ids(start, len(x)), None if callable(b) else require.integer("b", b, 1)
    samples, seed = require.integer("samples", samples, 1), require.integer("seed", seed, 0, 2**64 - 1)
    threads = fit.get("threads")
    settings = {"start": labelled, "b": getattr(b, "__name__", fixed), "how": how, "samples": samples,
                "seed": seed, "pool": len(x), "score": getattr(score, "__name__", score),
                "data": fingerprint(x, x_test),
                "model": said(dict(model.net.layers), model.prior, model.likelihood), "omega": "one a pass",
                "fit": said({name: value for name, value in sorted(fit.items()) if name not in FREE})}
    done = [] if record is None else recorded(record, settings)
    number = 0
    while True:
        if number == len(done):
            trained = BayesianNetwork(model.net, model.prior, model.likelihood)
            trained.fit(x[labelled], y[labelled], seed=seed, **fit)
            found = trained.predict(x_test, samples=samples, seed=seed, threads=threads).score(y_test)
            rest, chosen = np.setdiff1d(np.arange(len(x)), labelled), []
            if len(rest):
                p = (ANY.repeat(len(rest), axis=1) if how == "random"
                     else passes(trained, x[rest], samples, seed, threads))
                own = Key(seed).derive(f"round {number}").seed
                count = fixed or require.integer("b", b(len(labelled)), 1)
                chosen = rest[select(score, p, min(count, len(rest)), how, own)].tolist()
            done.append(Round(number, labelled, found["error"], found["nll"], chosen))
            if record is not None:
                write(record, settings, done)
        yield done[number]
        if not done[number].chosen:
            return
        labelled = done[number].labelled + done[number].chosen
        number += 1


def passes(model: BayesianNetwork, x: np.ndarray, samples: int, seed: int, threads: int | None = None,
           size: int = 4096) -> np.ndarray:
    """p(y | x, omega_t), (T, N, C), with omega_t the same for all x; in pieces, as convolutions are large."""
    options = {"samples": samples, "seed": seed, "shared": True, "keep_samples": True, "threads": threads}
    made = [model.predict(x[i:i + size], **options).samples for i in range(0, len(x), size)]
    return model.likelihood.expected(np.concatenate(made, axis=1).astype(np.float64))


def said(*settings: object) -> str:
    """What they say of themselves, without where functions lie in memory."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", ", ".join(map(repr, settings)))


def ids(start: ArrayLike, count: int) -> list:
    """`start` as different ids below `count`, at least one."""
    found = require.array("start", start).ravel()
    whole = found.dtype.kind in "iu" and len(found) and len(set(found.tolist())) == len(found)
    if not whole or found.min() < 0 or found.max() >= count:
        raise require.InputError(f"start must be different ids of the pool's {count} inputs, at least one")
    return found.tolist()


def write(record: str | PathLike, settings: dict, done: list) -> None:
    text = json.dumps({"settings": settings, "rounds": [each._asdict() for each in done]}, indent=1)
    with files.whole(record) as file:
        file.write(text.encode() + b"\n")


def recorded(record: str | PathLike, settings: dict) -> list:
    """The rounds in the file, [] if there is none yet; an error if they are of another loop."""
    path = require.path("record", record)
    if not path.exists():
        return []
    try:
        held = json.loads(path.read_text())
        theirs, done = held["settings"], [Round(**each) for each in held["rounds"]]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise require.InputError(f"record {str(path)!r} is no record of rounds: "
                                 f"{' '.join(str(error).split())}") from None
    for name, value in settings.items():
        if theirs.get(name) != value:
            raise require.InputError(f"record {str(path)!r} is of rounds with another {name}: "
                                     f"{theirs.get(name)!r} there, {value!r} here; give another path")
    return done
