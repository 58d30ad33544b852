"""What does pooling buy? House prices of tracts in towns, of which some have many tracts and some one.

y_n = w' phi(x_n) + a_g(n) + noise: phi, the hidden units of a small network trained with dropout on all
towns, reads what is known of a tract; a_g is what a town is worth beside. Of w, the offsets and both scales
the posterior is exact (truth/groups.py), under three models: one function for all (a = 0), an offset for each
town from its own tracts (a ~ N(0, 10^2), in standard deviations of y), and offsets a ~ N(0, s^2) with s
learned from all towns. phi is frozen, as in `LastLayer`: HMC over a whole network does not mix here (R-hat 2
to 5 with 6 hidden units and 1,000 draws).

Harrison and Rubinfeld's table of Boston gives five columns by town (zn, indus, rad, tax, ptratio): rows that
agree in all of them are taken as one. These five are left out of x, as they say which town it is.
"""

import math
from concurrent.futures import Executor

import numpy as np

from .. import bayes, data, nn, plots
from ..model import BayesianNetwork
from ..progress import bar
from ..spread import Record, alone, spread
from ..truth import groups
from . import common
from .frame import Count
from .repeats import Repeats

OF_TOWN = ("zn", "indus", "rad", "tax", "ptratio")
POOLING = {"complete": 0.0, "none": 10.0, "partial": None}  # s
TITLES = {"complete": "one function for all", "none": "each town for itself", "partial": "partial pooling"}
BINS = ((0, 0), (1, 3), (4, 9), (10, 10**6))  # tracts of the town in training
HIDDEN, KEEP, EPOCHS, BATCH, RATE, HELD_OUT = 20, 0.9, 300, 32, 3e-3, 0.2


def table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x (N, 8) of the tracts, y in thousands of dollars, the number of the town)."""
    boston = data.boston()
    names = list(boston.names)
    of_town = [names.index(name) for name in OF_TOWN]
    _, town = np.unique(boston.x[:, of_town], axis=0, return_inverse=True)
    x = np.delete(boston.x, of_town, axis=1)
    x[:, 0] = np.log(x[:, 0])  # crim spans four powers of ten
    return x, boston.y, town.reshape(-1)


def features(x: np.ndarray, y: np.ndarray, test: np.ndarray, epochs: float, seed: int) -> np.ndarray:
    """phi(x) of all rows, (N, HIDDEN), from a network trained on some."""
    net = nn.Network(fc1=nn.Dense(x.shape[1], HIDDEN), tanh1=nn.Tanh(),
                     fc2=nn.Dense(HIDDEN, 1, noise=nn.Bernoulli(KEEP)))
    model = BayesianNetwork(net, bayes.Prior(1.0), bayes.Gaussian(4.0))
    model.fit(x[~test], y[~test], epochs=epochs, batch_size=BATCH, optimizer=nn.Adam(RATE),
              seed=seed, dtype=np.float64, threads=1)
    phi = np.tanh(x @ model.params["fc1"]["M"].T + model.params["fc1"]["b"])
    return (phi - phi[~test].mean(axis=0)) / phi[~test].std(axis=0)


def held_out(count: int, seed: int) -> np.ndarray:
    """True for the rows that are tested."""
    out = np.zeros(count, bool)
    out[np.random.default_rng([seed, 0]).permutation(count)[:round(HELD_OUT * count)]] = True
    return out


def fitted(how: str, phi: np.ndarray, y: np.ndarray, scale: float, town: np.ndarray, test: np.ndarray
           ) -> dict:
    """One model on one split: of each test row squared error and -log p, in thousands of dollars."""
    one = np.ones((len(y), 1))
    model = groups.Linear(np.hstack([phi, one])[~test], y[~test], town[~test], int(town.max()) + 1,
                          s=POOLING[how])
    p, mean, variance = model.predict(np.hstack([phi, one])[test], town[test])
    log_p = np.log(p)[:, None] - 0.5 * ((y[test] - mean) ** 2 / variance
                                        + np.log(2 * np.pi * variance * scale**2))
    top = log_p.max(axis=0)
    return {"squares": (scale * (p @ mean - y[test])) ** 2,
            "nll": -(top + np.log(np.exp(log_p - top).sum(axis=0))),
            "sigma": scale * math.exp(model.log_sigma),
            "s": scale * math.exp(model.log_s) if how == "partial" else None}


def split(job: dict, threads: int | None = None, progress: bool = False) -> list[dict]:
    """One network and the three models on its features: a run of each. job: "seed", "epochs"."""
    x, y, town = table()
    seed, runs = job["seed"], []
    test = held_out(len(y), seed)
    count = np.bincount(town[~test], minlength=town.max() + 1)[town[test]]
    centre, scale = y[~test].mean(), y[~test].std()
    scaled, rows_x = (y - centre) / scale, (x - x[~test].mean(axis=0)) / x[~test].std(axis=0)
    phi = features(rows_x, scaled, test, job["epochs"], seed)
    for how in POOLING:
        found, rows = fitted(how, phi, scaled, scale, town, test), []
        for low, high in BINS:
            inside = (count >= low) & (count <= high)
            rows.append({"from": low, "rows": int(inside.sum()),
                         **{k: float(found[k][inside].sum()) for k in ("squares", "nll")}})
        runs.append({"seed": seed, "pooling": how, "bins": rows, "sigma": found["sigma"], "s": found["s"]})
    return runs


def score(result: dict, how: str, which: int | None, name: str) -> tuple[float, float | None]:
    """(mean over the splits, its standard error) of RMSE ("squares") or nll in one bin, or in all (None)."""
    values = []
    for run in result["runs"]:
        bins = run["bins"] if which is None else [run["bins"][which]]
        count = sum(b["rows"] for b in bins)
        if run["pooling"] == how and count:
            mean = sum(b[name] for b in bins) / count
            values.append(np.sqrt(mean) if name == "squares" else mean)
    return common.mean_and_error(values)


def label(bin_: tuple) -> str:
    low, high = bin_
    return f"{low}" if low == high else (f"{low} to {high}" if high < 10**6 else f"{low} and more")


def pm(mean: float, error: float | None, digits: int) -> str:
    return f"{mean:.{digits}f}" + (f" ± {error:.{digits}f}" if error is not None else "")


def summary_table(result: dict) -> str:
    settings, runs = result["settings"], result["runs"]
    rows = []
    for how, title in TITLES.items():
        for name, digits in (("squares", 2), ("nll", 2)):
            cells = [pm(*score(result, how, which, name), digits) for which in (*range(len(BINS)), None)]
            rows.append((title, {"squares": "RMSE, $1000", "nll": "nll, nats"}[name], *cells))
    counts = [sum(run["bins"][i]["rows"] for run in runs if run["pooling"] == "partial")
              for i in range(len(BINS))]
    s = [run["s"] for run in runs if run["s"] is not None]
    return "\n".join([
        f"{result['rows']} tracts in {result['towns']} towns, {HELD_OUT:.0%} held out, "
        f"{len(settings['seeds'])} splits; the posterior is exact, given {HIDDEN} hidden units", "",
        common.table(("model", "", *(f"town has {label(b)}" for b in BINS), "all"), rows), "",
        f"Held-out tracts by the tracts of their town in training: {', '.join(map(str, counts))}.",
        f"Towns differ by s = {np.mean(s):.2f} thousand dollars beside what phi knows of them; tracts of one "
        f"by {np.mean([run['sigma'] for run in runs if run['pooling'] == 'partial']):.2f}."])


def figure(result: dict) -> plots.Axes:
    axes = plots.figure(1, 2, (14, 5.2))[0]
    x = np.arange(len(BINS))
    for ax, name, unit in ((axes[0], "squares", "RMSE, thousand dollars"), (axes[1], "nll", "nll, nats")):
        for i, (how, title) in enumerate(TITLES.items()):
            found = [score(result, how, which, name) for which in range(len(BINS))]
            ax.errorbar(x + 0.08 * (i - 1), [mean for mean, _ in found], yerr=[e or 0 for _, e in found],
                        capsize=3, label=title, linewidth=1, **plots.look.style(i))
        ax.set_xticks(x, [label(b) for b in BINS])
        few = {how: score(result, how, 1, name)[0] for how in TITLES}
        said = ", ".join(f"{few[how]:.2f} {title}" for how, title in TITLES.items())
        plots.finish(ax, f"A town with {label(BINS[1])} tracts:\n{said}", "tracts of the town in training",
                     unit)
    return axes[0]


class Pooling(Repeats, name="pooling", about="what does pooling buy? house prices in towns, by a network and "
              "an offset for each town; table, pooling.png, pooling.json"):
    counts = {"seeds": Count("K", "splits, S to S+K-1", 1, 1000)}
    timed = True
    full = {"seeds": 20, "epochs": EPOCHS}
    quick = {"seeds": 3, "epochs": EPOCHS}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False,
            executor: Executor | None = None, record: Record | None = None) -> tuple[dict, None]:
        _, y, town = table()
        jobs = [{"seed": seed, "epochs": settings["epochs"]} for seed in settings["seeds"]]
        with bar(progress, len(jobs), "splits", " splits") as progress_bar:
            made = spread(alone(split, executor, threads), jobs, executor,
                          finished=lambda i: progress_bar.update(1), record=record)
        runs = [run for found in made for run in found]
        return {"towns": int(town.max()) + 1, "rows": len(y), "runs": runs}, None

    def table(self, result: dict) -> str:
        return summary_table(result)

    def figure(self, result: dict, figure_data: None) -> plots.Axes:
        return figure(result)
