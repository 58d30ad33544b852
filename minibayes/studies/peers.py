"""mb.Regressor and mb.Classifier beside scikit-learn's Gaussian process, perceptron and boosted trees.

On five tables, each divided several times into 90 % to train and 10 % to test; every method as it comes, with
columns standardised for those that ask for it. What says nothing of its uncertainty is given the simplest
that is fair: the perceptron and the trees a constant standard deviation, from a tenth of the training rows
that they are not trained on; the trees' intervals are from two quantile fits. scikit-learn is measured
against; nothing else here needs it.
"""

import time
import warnings
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from .. import data, plots, require
from ..estimators import Classifier, Regressor
from ..progress import bar
from ..spread import Record, alone, spread
from . import common
from .frame import Count
from .repeats import Repeats

LEVEL = 0.9
OURS, GP, MLP, TREES = "minibayes", "Gaussian process", "perceptron", "boosted trees"
COLORS = {OURS: "all", GP: "none", MLP: "none", TREES: "none"}
NUMBERS = {"error": "RMSE", "nll": "-log p, nats", "coverage": "held by 90 % int.", "width": "their width",
           "seconds": "seconds"}
CLASSES = {"error": "error %", "nll": "-log p, nats", "seconds": "seconds"}


class Normals(NamedTuple):
    """Predictions of numbers, each (N,)."""

    mean: np.ndarray
    std: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    log_p: Callable  # y -> (N,)


def normal(mean: np.ndarray, std: np.ndarray, lower: np.ndarray | None = None,
           upper: np.ndarray | None = None) -> Normals:
    reach = 1.6448536269514722 * std  # the normal law's 95 % quantile
    lower, upper = mean - reach if lower is None else lower, mean + reach if upper is None else upper
    return Normals(mean, std, lower, upper,
                   lambda y: -((y - mean) / std) ** 2 / 2 - np.log(std) - np.log(2 * np.pi) / 2)


def tables() -> dict[str, tuple]:
    """{name: (x, y, whether y is a class)}."""
    try:
        from sklearn import datasets
    except ImportError:
        raise require.InputError("peers needs scikit-learn, which it measures against: "
                                 "pip install scikit-learn") from None
    boston, concrete = data.boston(), data.concrete()
    return {"boston": (boston.x, boston.y, False), "concrete": (concrete.x, concrete.y, False),
            "diabetes": (*datasets.load_diabetes(return_X_y=True), False),
            "wine": (*datasets.load_wine(return_X_y=True), True),
            "breast cancer": (*datasets.load_breast_cancer(return_X_y=True), True)}


def ours(x: np.ndarray, y: np.ndarray, new: np.ndarray, classes: bool, seed: int, threads: int) -> Any:
    if classes:
        return Classifier(seed=seed, threads=threads).fit(x, y).predict_proba(new)
    model = Regressor(seed=seed, threads=threads).fit(x, y)
    mean, std = model.predict(new, return_std=True)
    return Normals(mean, std, *model.interval(new, LEVEL), lambda y: model.log_likelihood(new, y))


def gaussian_process(x: np.ndarray, y: np.ndarray, new: np.ndarray, classes: bool, seed: int,
                     threads: int) -> Any:
    from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor, kernels
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kernel = kernels.ConstantKernel() * kernels.RBF(np.sqrt(x.shape[1]))
    if classes:
        model = GaussianProcessClassifier(kernel, random_state=seed)
        return make_pipeline(StandardScaler(), model).fit(x, y).predict_proba(new)
    model = GaussianProcessRegressor(kernel + kernels.WhiteKernel(), normalize_y=True, random_state=seed)
    return normal(*make_pipeline(StandardScaler(), model).fit(x, y).predict(new, return_std=True))


def perceptron(x: np.ndarray, y: np.ndarray, new: np.ndarray, classes: bool, seed: int, threads: int) -> Any:
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    options = {"hidden_layer_sizes": (50,), "early_stopping": True, "max_iter": 2000, "n_iter_no_change": 50,
               "learning_rate_init": 0.005, "random_state": seed}
    if classes:
        return make_pipeline(StandardScaler(), MLPClassifier(**options)).fit(x, y).predict_proba(new)
    model = make_pipeline(StandardScaler(), TransformedTargetRegressor(
        MLPRegressor(**options), transformer=StandardScaler()))
    return with_residuals(model, x, y, new, seed)


def boosted_trees(x: np.ndarray, y: np.ndarray, new: np.ndarray, classes: bool, seed: int,
                  threads: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    if classes:
        return HistGradientBoostingClassifier(random_state=seed).fit(x, y).predict_proba(new)
    lower, upper = (HistGradientBoostingRegressor(loss="quantile", quantile=q, random_state=seed).fit(x, y)
                    .predict(new) for q in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return with_residuals(HistGradientBoostingRegressor(random_state=seed), x, y, new, seed, lower, upper)


def with_residuals(model: Any, x: np.ndarray, y: np.ndarray, new: np.ndarray, seed: int,
                   lower: np.ndarray | None = None, upper: np.ndarray | None = None) -> Normals:
    """Its predictions with the standard deviation of its residuals on a tenth of the rows, held from it."""
    order = np.random.default_rng([seed, 8]).permutation(len(y))
    held, rest = np.split(order, [len(y) // 10])
    std = np.sqrt(((model.fit(x[rest], y[rest]).predict(x[held]) - y[held]) ** 2).mean())
    mean = model.predict(new)
    return normal(mean, np.full(len(mean), std), lower, upper)


METHODS = {OURS: ours, GP: gaussian_process, MLP: perceptron, TREES: boosted_trees}


def scores(made: Any, y: np.ndarray, classes: bool) -> dict[str, float]:
    if classes:
        p = np.maximum(made[np.arange(len(y)), y], 1e-12)  # trees are sometimes sure
        return {"error": float(100 * (made.argmax(axis=1) != y).mean()), "nll": float(-np.log(p).mean())}
    return {"error": float(np.sqrt(((made.mean - y) ** 2).mean())), "nll": float(-made.log_p(y).mean()),
            "coverage": float(((made.lower <= y) & (y <= made.upper)).mean()),
            "width": float((made.upper - made.lower).mean())}


def split(job: dict, threads: int | None = None, progress: bool = False, given: dict | None = None
          ) -> list[dict]:
    """Every method on one division of one table. job: "data"; "split", its number; "seed"."""
    name, seed, results = job["data"], job["seed"], []
    x, y, classes = (tables() if given is None else given)[name]
    order = np.random.default_rng([seed, 9]).permutation(len(y))
    test, train = np.split(order, [len(y) // 10])
    with warnings.catch_warnings(), threadpool_limits(threads):
        warnings.filterwarnings("ignore", module="sklearn")  # that an optimiser could go on: as it comes
        for method, predict in METHODS.items():
            began = time.perf_counter()
            made = predict(x[train], y[train], x[test], classes, seed, threads)
            seconds = time.perf_counter() - began
            results.append({"data": name, "split": job["split"], "method": method}
                           | scores(made, y[test], classes) | {"seconds": seconds})
    return results


class Peers(Repeats, name="peers", about="mb.Regressor and mb.Classifier beside scikit-learn's Gaussian "
            "process, perceptron and boosted trees; table, peers.png, peers.json"):
    counts = {"splits": Count("K", "divisions into training and test rows", 1, 100)}
    full, quick = {"splits": 5}, {"splits": 1}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False,
            executor: Executor | None = None, record: Record | None = None) -> tuple[dict, None]:
        given = tables()
        jobs = [{"data": name, "split": number, "seed": settings["seed"] + number}
                for name in given for number in range(settings["splits"])]
        with bar(progress, len(jobs), "peers", " splits") as progress_bar:
            made = spread(alone(split, executor, threads, given=given), jobs, executor,
                          finished=lambda i: progress_bar.update(1), record=record)
        results = [row for rows in made for row in rows]
        about = {name: {"rows": len(y), "columns": x.shape[1], "classes": classes}
                 for name, (x, y, classes) in given.items()}
        return {"data": about, "results": results}, None

    def table(self, result: dict) -> str:
        parts = []
        for name, about in result["data"].items():
            columns = CLASSES if about["classes"] else NUMBERS
            rows = [(method, *(shown(values(result, name, method, score)) for score in columns))
                    for method in METHODS]
            head = (f"{name}: {about['rows']:,} rows, {about['columns']} columns, "
                    f"{result['settings']['splits']} splits")
            parts.append(f"{head}\n{common.table(('', *columns.values()), rows)}")
        return "\n\n".join([*parts, "±: the standard error of the mean over splits, which overlap."])

    def figure(self, result: dict, figure_data: None) -> plots.Axes:
        axes = plots.figure(len(result["data"]), 2, (11, 2.1 * len(result["data"])))
        for row, (name, about) in zip(axes, result["data"].items(), strict=True):
            said = CLASSES if about["classes"] else NUMBERS
            for ax, score in zip(row, ("error", "nll"), strict=True):
                lines = []
                for method in METHODS:
                    found = values(result, name, method, score)
                    mean, se = common.mean_and_error(found)
                    lines.append({"label": method, "mean": mean, "se": se, "values": found,
                                  "color": COLORS[method]})
                plots.score_lines(lines, f"{name}: {said[score]}", ax)
            row[1].tick_params(labelleft=False)
        axes[0, 0].figure.suptitle("Tables, each method as it comes: further left is better", fontsize=11)
        return axes[0, 0]


def values(result: dict, name: str, method: str, score: str) -> list[float]:
    return [r[score] for r in result["results"] if (r["data"], r["method"]) == (name, method)]


def shown(found: list[float]) -> str:
    mean, se = common.mean_and_error(found)
    return f"{mean:.3g}" + ("" if se is None else f" ± {se:.2g}")
