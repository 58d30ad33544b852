"""Mauna Loa CO2: the paper's 272 months (to 1981-03) learned, the 469 after them scored, in ppm.

The paper (arXiv 1506.02142, section 5.1) had only the extrapolated bands to show. Its window, its networks
and its solver are used here, but narrower networks and few steps, to fit a few minutes: the slow bend of the
curve is learned, the yearly cycle hardly, and that then counts as noise.
"""

from typing import NamedTuple

import numpy as np

from ... import bayes, data, models, nn
from ...bayes import convert
from ...model import BayesianNetwork
from .band import Band, gaussian_band, precision, score

MONTHS = 272
HIDDEN, WIDTH = 4, 1024
MOMENTUM, DECAY = 0.9, 1e-6
GAMMA, POWER = 1e-4, 0.25
NETS = {"ReLU, drop 0.1": ("relu", 0.9, 0.01), "tanh, drop 0.1": ("tanh", 0.9, 0.005),
        "tanh, drop 0.2": ("tanh", 0.8, 0.005)}
HORIZONS = {"window": (-MONTHS, 0), "year 1": (0, 12), "years 2-5": (12, 60), "years 6-10": (60, 120),
            "years 11-20": (120, 240), "years 21-39": (240, 469), "all later": (0, 469)}
LINE = "straight line"


class Series(NamedTuple):
    """All 741 months; the network sees x and y of the first 272. ppm = line + scale y."""

    time: np.ndarray  # decimal years
    ppm: np.ndarray
    line: np.ndarray  # the straight line through the window, in ppm
    scale: float  # the std about it within the window, in ppm
    x: np.ndarray
    y: np.ndarray


def series() -> Series:
    """The paper's normalisation: y over its std about the window's line in the month's index i."""
    record = data.co2()
    i = np.arange(len(record.ppm), dtype=np.float64)
    slope, start = np.polyfit(i[:MONTHS], record.ppm[:MONTHS], 1)
    line = start + slope * i
    scale = float((record.ppm - line)[:MONTHS].std())
    x = (i - i[:MONTHS].mean()) / i[:MONTHS].std()
    return Series(record.time, record.ppm, line, scale, x, (record.ppm - line) / scale)


def solver(net: nn.Network, rate: float, width: int) -> tuple[nn.SGD, bayes.Prior]:
    """(optimizer, prior) that train M, with tau = 1, as the paper's Caffe solver trains Theta = keep M.

    It minimises the mean of 1/2 (y - f)^2: see bayes/convert.py. A dense bias decays by keep wd, not by wd.
    A step moves f by a sum over units, so a narrower net takes the paper's steps in f at the rate r *
    1024/width.
    """
    caffe = nn.SGD(rate * WIDTH / width, momentum=MOMENTUM, policy="inv", gamma=GAMMA, power=POWER)
    return convert.sgd_of_inverted(net, caffe, DECAY, MONTHS)


def functions(record: Series, name: str, width: int, steps: int, samples: int, seed: int,
              threads: int | None = None, progress: bool = False) -> dict[str, np.ndarray]:
    """Train the network `name` on the window: {rule: f_t in ppm, (T, 741)}, each pass one function."""
    activation, keep, rate = NETS[name]
    sizes = [1, *[width] * HIDDEN, 1]
    net = models.mlp(sizes, noise=nn.Bernoulli(keep), activation=activation, init_scheme="lecun")
    optimizer, prior = solver(net, rate, width)
    model = BayesianNetwork(net, prior, bayes.Gaussian(1.0))
    x = record.x[:, None]
    run = {"threads": threads, "progress": progress}
    model.fit(x[:MONTHS], record.y[:MONTHS], steps=steps, batch_size=MONTHS, optimizer=optimizer, seed=seed,
              **run)
    mc = model.predict(x, samples=samples, seed=seed, shared=True, keep_samples=True, **run)
    average = model.predict(x, rule="weight-averaging", keep_samples=True, threads=threads)
    return {rule: record.line + record.scale * prediction.samples[..., 0].astype(np.float64)
            for rule, prediction in (("mc", mc), ("weight-averaging", average))}


def bands(record: Series, passes: dict[str, np.ndarray]) -> tuple[dict[str, Band], float]:
    """({rule: Band in ppm}, the noise's std in ppm): of both rules what the training months ask of q."""
    tau = precision(passes["mc"][:, :MONTHS], record.ppm[:MONTHS])
    return {rule: gaussian_band(f, tau, record.ppm) for rule, f in passes.items()}, tau**-0.5


def straight_line(record: Series) -> Band:
    """What costs nothing: the window's straight line with its own std."""
    return gaussian_band(record.line[None], record.scale**-2, record.ppm)


def scores(record: Series, band: Band) -> list[dict]:
    """[{horizon, and its score}]."""
    month = np.arange(len(record.ppm)) - MONTHS
    return [{"horizon": name} | score(band, record.ppm, (month >= start) & (month < end))
            for name, (start, end) in HORIZONS.items()]


def study(record: Series, **settings) -> tuple[dict[str, dict[str, Band]], dict[str, float], list[dict]]:
    """({net: {rule: Band}}, {net: noise std}, rows of scores), with the straight line for comparison.

    settings: those of `functions`.
    """
    found, noise = {}, {}
    rows = [{"model": LINE, "rule": ""} | row for row in scores(record, straight_line(record))]
    for name in NETS:
        found[name], noise[name] = bands(record, functions(record, name, **settings))
        rows += [{"model": name, "rule": rule} | row
                 for rule, band in found[name].items() for row in scores(record, band)]
    return found, noise, rows
