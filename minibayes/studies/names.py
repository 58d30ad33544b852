"""Who is ambiguous? Names read letter by letter by a recurrent net; the label is the list a name stands in.

The poster asks whether Bayesian recurrent models capture the ambiguity of language. Here that can be counted:
419 English first names stand in both lists. Where the data themselves disagree, as for Kim, the *expected
entropy* must be high: every omega is unsure. Of letters that are no name, reversed or shuffled, or no first
name, words of Moby Dick, the net has seen nothing: there the omegas must disagree, *mutual information*. Each
score is asked both questions, so that either can be seen to answer the wrong one.

The names are divided by crc32(name) % 10 < 8, into those to train on, ambiguous ones under both labels, and
the others, on which everything here is measured.
"""

import zlib
from concurrent.futures import Executor

import numpy as np

from .. import bayes, data, metrics, nn, plots
from ..model import BayesianNetwork
from ..progress import bar
from ..spread import Record, alone, spread
from . import common
from .frame import Count
from .repeats import Repeats

LETTERS = "abcdefghijklmnopqrstuvwxyz-"
LONGEST = 15
PICTURED = ("kim", "sandy", "leslie")
NONSENSE = ("reversed names", "shuffled names", "words of Moby Dick")
SCORES = {"expected_entropy": "expected entropy", "mutual_information": "mutual information"}
NOISE = nn.Bernoulli(0.75)


def encoded(words: list[str]) -> np.ndarray:
    """The letters' numbers, (N, 15), with -1 behind a word's end."""
    x = np.full((len(words), LONGEST), -1, np.int64)
    for row, word in zip(x, words, strict=True):
        row[:len(word)] = [LETTERS.index(letter) for letter in word]
    return x


def lists() -> tuple[set, set]:
    """The two lists, female and male, in small letters."""
    female, male = ({name.strip().lower() for name in names} for names in data.names())
    return female, male


def trains(name: str) -> bool:
    return zlib.crc32(name.encode()) % 10 < 8


def labelled(names: list[str], female: set, male: set) -> tuple[list, np.ndarray]:
    """(names, labels), 1 for the female list; a name of both lists twice."""
    items = [(name, label) for name in names for label, own in ((0, male), (1, female)) if name in own]
    return [name for name, _ in items], np.array([label for _, label in items])


def nonsense(names: list[str], known: set, seed: int, most: int) -> dict[str, list]:
    """{kind: words that stand in no list}: of the held-out names reversed and shuffled, and of Moby Dick."""
    rng = np.random.default_rng([seed, 3])
    shuffled = ["".join(rng.permutation(list(name))) for name in names]
    text = "".join(c if c in LETTERS[:26] else " " for c in data.moby_dick().lower())
    words = sorted({word for word in text.split() if 3 <= len(word) <= LONGEST})
    made = ([name[::-1] for name in names], shuffled, [words[i] for i in rng.permutation(len(words))])
    return {kind: [w for w in dict.fromkeys(found) if w not in known][:most]
            for kind, found in zip(NONSENSE, made, strict=True)}


def network(units: int) -> nn.Network:
    return nn.Network(read=nn.Embedding(len(LETTERS), 32, noise=NOISE),
                      gru=nn.GRU(32, units, noise=NOISE), out=nn.Dense(units, 2, noise=NOISE))


def ending_rule(names: list, labels: np.ndarray, others: list, wanted: np.ndarray) -> float:
    """Accuracy of the most frequent label of the last two letters (of all, where the ending is new)."""
    seen = {}
    for name, label in zip(names, labels, strict=True):
        seen.setdefault(name[-2:], []).append(label)
    said = np.array([np.mean(seen.get(name[-2:], labels)) > 0.5 for name in others])
    return float((said == wanted).mean())


def as_read(model: BayesianNetwork, word: str, samples: int, seed: int, threads: int | None) -> np.ndarray:
    """p(female) of every pass after each letter, (T, letters): in a pass, one omega reads all of it."""
    beginnings = encoded([word[:k] for k in range(1, len(word) + 1)])
    made = model.predict(beginnings, samples=samples, seed=seed, shared=True, keep_samples=True,
                         threads=threads)
    f = made.samples.astype(np.float64)
    return 1 / (1 + np.exp(f[..., 0] - f[..., 1]))


def division() -> tuple:
    """(names and labels to train on, names held out, those with labels, which of them are ambiguous)."""
    female, male = lists()
    everyone = sorted(female | male)
    held_out = [n for n in everyone if not trains(n)]
    return (labelled([n for n in everyone if trains(n)], female, male), held_out,
            labelled(held_out, female, male), np.array([n in female and n in male for n in held_out]))


def one(job: dict, threads: int | None = None, progress: bool = False) -> dict:
    """One network: {"run": its row, "groups": {group: {score: (N,)}}, "read": {name: as it is read}}.

    job: "seed", "epochs", "samples", "units".
    """
    (names, y), held_out, to_test, ambiguous = division()
    seed, known = job["seed"], set().union(*lists())
    model = BayesianNetwork(network(job["units"]), bayes.Prior(0.3))
    model.fit(encoded(names), y, epochs=job["epochs"], optimizer=nn.Adam(0.003), seed=seed,
              threads=threads, progress=progress)
    found = {"names": held_out} | nonsense(held_out, known, seed, len(held_out))
    passes = {"samples": job["samples"], "seed": seed, "threads": threads, "progress": progress}
    made = {kind: model.predict(encoded(words), **passes) for kind, words in found.items()}
    label = dict(zip(held_out, made["names"].label, strict=True))
    accuracy = float(np.mean([label[n] == y for n, y in zip(*to_test, strict=True)]))
    groups = {kind: {score: getattr(p, score) for score in SCORES} for kind, p in made.items()}
    return {"run": {"seed": seed, "accuracy": accuracy} | questions(groups, ambiguous), "groups": groups,
            "read": {w: as_read(model, w, max(job["samples"], 40), seed, threads) for w in PICTURED}}


def questions(groups: dict, ambiguous: np.ndarray) -> dict:
    """AUROC of both scores for both questions: ambiguous among names; nonsense against all names."""
    out = {}
    for score in SCORES:
        own = groups["names"][score]
        each = {kind: metrics.auroc(own, groups[kind][score]) for kind in NONSENSE}
        out[score] = {"ambiguous": metrics.auroc(own[~ambiguous], own[ambiguous]),
                      "nonsense": float(np.mean(list(each.values()))), "kinds": each}
    return out


class Names(Repeats, name="names", about="which names are ambiguous, and which words are no names? "
            "names.png, names.json"):
    counts = {"epochs": Count("E", "epochs of training", 1, 10_000),
              "samples": Count("T", "stochastic passes", 2, 100_000),
              "units": Count("H", "units of the GRU", 1, 4096),
              "seeds": Count("K", "repetitions", 1, 1000)}
    full = {"epochs": 30, "samples": 50, "units": 64, "seeds": 3}
    quick = {"epochs": 8, "samples": 20, "units": 64, "seeds": 1}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False,
            executor: Executor | None = None, record: Record | None = None) -> tuple[dict, dict]:
        to_train, held_out, to_test, ambiguous = division()
        jobs = [{name: settings[name] for name in ("epochs", "samples", "units")} | {"seed": seed}
                for seed in settings["seeds"]]
        with bar(progress, len(jobs), "networks", " networks") as progress_bar:
            made = spread(alone(one, executor, threads, progress), jobs, executor,
                          finished=lambda i: progress_bar.update(1), record=record)
        rows, shown = [each["run"] for each in made], made[0] | {"ambiguous": ambiguous}
        y = to_test[1]
        rulers = {"majority": float(max(y.mean(), 1 - y.mean())), "ending": ending_rule(*to_train, *to_test),
                  "ceiling": 1 - float(ambiguous.sum()) / len(y)}
        counts = {"trained on": len(to_train[0]), "held out": len(held_out),
                  "of both lists": int(ambiguous.sum())}
        counts |= {kind: len(shown["groups"][kind]["expected_entropy"]) for kind in NONSENSE}
        trained = {n: trains(n) for n in PICTURED}
        return {"counts": counts, "rulers": rulers, "runs": rows, "pictured_trained": trained}, shown

    def table(self, result: dict) -> str:
        runs, rulers, counts = result["runs"], result["rulers"], result["counts"]

        def cell(values):
            mean, error = common.mean_and_error(values)
            return f"{mean:.3f}" + ("" if error is None else f" +- {error:.3f}")
        rows = [(said, *(cell([r[score][asked] for r in runs]) for asked in ("ambiguous", "nonsense")),
                 *(cell([r[score]["kinds"][kind] for r in runs]) for kind in NONSENSE))
                for score, said in SCORES.items()]
        accuracy = cell([r["accuracy"] for r in runs])
        return "\n".join([
            f"GRU of {result['settings']['units']} units on {counts['trained on']} labelled names; "
            f"{counts['held out']} names held out, {counts['of both lists']} of them in both lists; "
            f"T = {result['settings']['samples']}, {len(runs)} seed" + "s" * (len(runs) > 1), "",
            common.table(("AUROC of", "ambiguous names", "nonsense", *NONSENSE), rows), "",
            "ambiguous names: those of both lists against the other names. nonsense: the mean of the three",
            "on the right, each against all names held out. 0.5 says nothing.",
            f"Accuracy on the labels held out {accuracy}: the larger list {rulers['majority']:.3f},",
            f"the last two letters {rulers['ending']:.3f}, and {rulers['ceiling']:.3f} at best, as a name of "
            "both lists has two labels."])

    def figure(self, result: dict, figure_data: dict) -> plots.Axes:
        axes = plots.figure(2, 3, (15, 9))
        groups, ambiguous, first = figure_data["groups"], figure_data["ambiguous"], result["runs"][0]
        for ax, (score, said) in zip(axes[0], SCORES.items(), strict=False):
            own = groups["names"][score]
            values = {"names of one list": own[~ambiguous], "names of both lists": own[ambiguous],
                      "nonsense": np.concatenate([groups[kind][score] for kind in NONSENSE])}
            plots.score_histograms(values, ax, bins=25, xlabel=f"{said}, nats", title=(
                f"{said}, seed {first['seed']}: AUROC {first[score]['ambiguous']:.2f}\n"
                f"for names of both lists, {first[score]['nonsense']:.2f} for nonsense"))
        ax, places = axes[0, 2], np.arange(2)
        for i, (score, said) in enumerate(SCORES.items()):
            means = [np.mean([r[score][asked] for r in result["runs"]])
                     for asked in ("ambiguous", "nonsense")]
            ax.bar(places + 0.4 * i - 0.2, means, 0.38, color=plots.PALETTE[i], label=said)
        ax.set_xticks(places, ["is it in both lists?", "is it no name?"])
        ax.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
        ax.set_ylim(0, 1)
        plots.finish(ax, f"Which score answers which question?\n{len(result['runs'])} seed"
                     + "s" * (len(result["runs"]) > 1), "", "AUROC")
        for ax, (word, passes) in zip(axes[1], figure_data["read"].items(), strict=True):
            seen = "trained on" if result["pictured_trained"][word] else "never seen"
            plots.as_it_reads(word, passes, ax, f"{word.title()}, of both lists, {seen}", "p(female list)")
        return axes[0, 0]
