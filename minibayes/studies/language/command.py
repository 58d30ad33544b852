"""python -m minibayes language: does one omega a sequence help to predict letters? language.png, .json."""

from collections.abc import Callable

import numpy as np

from ... import bayes, data, nn, plots
from ...fast import parallel
from ...progress import bar
from ..frame import Count, Study
from . import reader, report
from .ngrams import KINDS, NGrams

ORDERS = 6
REPORTS = 10  # epochs that are reported, at most
SHOWN, STARTED = 240, 60  # letters of a text, and of what it goes on from
AGAIN = ("none", "step", "tied")  # who reads the short text again and again,
AGAIN_TEST = 30_000  # and the letters held out that they are asked about


def book() -> tuple[np.ndarray, np.ndarray, list]:
    """(training letters, those held out: the last tenth, the letters themselves) of Moby Dick, by number."""
    whole = data.moby_dick()
    alphabet = sorted(set(whole))
    numbers = {letter: i for i, letter in enumerate(alphabet)}
    text = np.array([numbers[letter] for letter in whole], np.int64)
    cut = len(text) * 9 // 10
    return text[:cut], text[cut:], alphabet


def rulers(text: np.ndarray, held_out: np.ndarray, vocabulary: int) -> dict:
    """{kind: nats a letter of the orders 0 ... 5}."""
    counted = NGrams(text, vocabulary, ORDERS - 1)
    return {kind: [counted.nats(held_out, text, kind, order) for order in range(ORDERS)] for kind in KINDS}


def reported(epochs: int) -> set:
    """The epochs after which the text held out is read: all if they are few, always the last."""
    return {round(at) for at in np.linspace(1, epochs, min(epochs, REPORTS))}


def learn(variant: str, text: np.ndarray, held_out: np.ndarray, vocabulary: int, settings: dict,
          pool: parallel.Pool, tick: Callable) -> tuple[reader.Reader, list]:
    """(the reader, a row for each reported epoch) of one variant."""
    net = reader.network(variant, vocabulary, settings["units"], settings["keep"])
    made = reader.Reader(net, text, settings["epochs"], settings["seed"])
    history = []
    for epoch in range(settings["epochs"]):
        row = {"epoch": epoch + 1, "train": made.epoch(epoch, pool, tick)}
        if epoch + 1 in reported(settings["epochs"]):
            row["weight-averaging"] = reader.nats(net, made.params, held_out, pool)
            if net.noisy:
                row["mc"] = reader.nats(net, made.params, held_out, pool, settings["samples"],
                                        settings["seed"])
            history.append(row)
    return made, history


def written(made: reader.Reader, start: np.ndarray, alphabet: list, settings: dict) -> dict:
    """Texts that go on from `start`: of one omega, and of the average of several."""
    def said(samples):
        key = nn.Key(settings["seed"]).derive("write")
        found = bayes.text.sample(made.net, made.params, start, SHOWN, samples=samples, key=key)
        return "".join(alphabet[i] for i in found)
    return {"start": "".join(alphabet[i] for i in start), "one omega": said(1),
            "the average": said(settings["samples"])}


class Language(Study, name="language", about="one omega a sequence? letters of Moby Dick by a GRU, beside "
               "n-grams; table, language.png, language.json"):
    counts = {"epochs": Count("E", "times the text is read", 1, 10_000),
              "units": Count("H", "units of the GRU", 1, 4096),
              "samples": Count("T", "MC passes", 2, 1000),
              "letters": Count("N", "training letters, the first ones", 10_000, 1_071_285),
              "short": Count("N", "letters of a short text, the first ones again", 10_000, 1_071_285),
              "rereads": Count("E", "times the short text is read", 1, 10_000)}
    timed = True
    full = {"epochs": 5, "units": 192, "samples": 8, "letters": 1_071_285, "short": 50_000, "rereads": 40,
            "keep": 0.9, "test": 119_032}
    quick = {"epochs": 3, "units": 128, "samples": 4, "letters": 1_071_285, "short": 20_000, "rereads": 40,
             "keep": 0.9, "test": 30_000}
    variants = tuple(reader.VARIANTS)

    def run(self, settings: dict, threads: int | None = None, progress: bool = False) -> tuple[dict, None]:
        text, held_out, alphabet = book()
        text, held_out = text[:settings["letters"]], held_out[:settings["test"]]
        again, asked = text[:settings["short"]], held_out[:AGAIN_TEST]
        vocabulary, runs, short = len(alphabet), {}, settings | {"epochs": settings["rereads"]}
        steps = {"long": reader.steps(text, settings["epochs"]),
                 "short": reader.steps(again, short["epochs"])}
        total = steps["long"] * len(self.variants) + steps["short"] * len(AGAIN)
        with parallel.pool(threads) as pool, bar(progress, total, "language", " steps") as shown:
            for variant in self.variants:
                made, runs[variant] = learn(variant, text, held_out, vocabulary, settings, pool, shown.update)
                if variant == "tied":
                    texts = written(made, text[-STARTED:], alphabet, settings)
            reread = {variant: learn(variant, again, asked, vocabulary, short, pool, shown.update)[1]
                      for variant in AGAIN}
        full = settings | {"streams": reader.STREAMS, "chunk": reader.CHUNK, "width": reader.WIDTH,
                           "rate": reader.RATE, "rate_left": reader.END, "steps": steps["long"],
                           "letters": len(text), "test": len(held_out), "vocabulary": vocabulary,
                           "short": len(again), "short_steps": steps["short"], "short_test": len(asked),
                           "threads": threads}
        return {"settings": full, "rulers": rulers(text, held_out, vocabulary), "runs": runs,
                "short_rulers": rulers(again, asked, vocabulary), "short_runs": reread, "texts": texts}, None

    def table(self, result: dict) -> str:
        return report.summary_table(result)

    def figure(self, result: dict, figure_data: None) -> plots.Axes:
        return report.figure(result)
