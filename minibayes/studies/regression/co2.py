"""Mauna Loa CO2: learned from the paper's 272 months (1958-03 to 1981-03), scored on the 469 real months after them, in ppm.

The paper (arXiv 1506.02142, section 5.1) had only the extrapolated bands to show. Its window, its networks and its solver are used here,
but narrower networks and few steps, to fit a few minutes: the slow bend of the curve is learned, the yearly cycle hardly, and that then
counts as noise.
"""

import math
from typing import NamedTuple

import numpy as np

from ... import data, models, nn
from ...bayes import Gaussian, Prior
from ...model import BayesianNetwork
from .band import gaussian_band, precision, score

MONTHS, HIDDEN, WIDTH = 272, 4, 1024
MOMENTUM, DECAY, GAMMA, POWER = 0.9, 1e-6, 1e-4, 0.25
NETS = {"ReLU, drop 0.1": ("relu", 0.9, 0.01), "tanh, drop 0.1": ("tanh", 0.9, 0.005), "tanh, drop 0.2": ("tanh", 0.8, 0.005)}
HORIZONS = {"window": (-MONTHS, 0), "year 1": (0, 12), "years 2-5": (12, 60), "years 6-10": (60, 120), "years 11-20": (120, 240),
            "years 21-39": (240, 469), "all later": (0, 469)}
LINE = "straight line"


class Series(NamedTuple):
    """All 741 months; the network sees x and y of the first 272. ppm = line + scale y."""

    time: np.ndarray  # decimal years
    ppm: np.ndarray
    line: np.ndarray  # the straight line through the window, in ppm
    scale: float  # the std about it within the window, in ppm
    x: np.ndarray
    y: np.ndarray


def series():
    """The paper's normalisation: minus the window's straight-line fit on the month's index i, over the std; x = (i - 135.5)/std(i)."""
    record = data.co2()
    i = np.arange(len(record.ppm), dtype=np.float64)
    slope, start = np.polyfit(i[:MONTHS], record.ppm[:MONTHS], 1)
    line = start + slope * i
    scale = float((record.ppm - line)[:MONTHS].std())
    x = (i - i[:MONTHS].mean()) / i[:MONTHS].std()
    return Series(record.time, record.ppm, line, scale, x, (record.ppm - line) / scale)


def solver(net, rate, width):
    """(optimizer, prior) that train M, with tau = 1, as the paper's Caffe solver trains Theta = keep M on the mean of 1/2 (y - f)^2.

    Theta' = Theta - r (dL/dTheta + wd Theta) with dL/dTheta = dL/dM / keep is M' = M - (r/keep^2) (dL/dM + keep^2 wd M), and KL/N has
    the decay keep l^2/N: l^2 = keep wd N. (A dense bias is outside the noise, and decays by l^2/N = keep wd, not wd.)
    A step moves f by a sum over units, so that a narrower net takes the paper's steps in f at the rate r * 1024/width.
    """
    multipliers, lengthscales = {}, {}
    for name, layer in net.layers.items():
        if layer.param_shapes():
            keep = layer.noise.mean
            multipliers[name] = {"M": 1 / keep**2, "b": 1}
            lengthscales[name] = math.sqrt(keep * DECAY * MONTHS)
    optimizer = nn.SGD(rate * WIDTH / width, momentum=MOMENTUM, policy="inv", gamma=GAMMA, power=POWER, multipliers=multipliers)
    return optimizer, Prior(lengthscales)


def functions(record, name, width, steps, samples, seed, threads=None, progress=False):
    """Train the network `name` on the window: {rule: f_t over all months in ppm, (T, 741)}, each pass the draw of one function."""
    activation, keep, rate = NETS[name]
    net = models.mlp([1, *[width] * HIDDEN, 1], noise=nn.Bernoulli(keep), activation=activation, init_scheme="lecun")
    optimizer, prior = solver(net, rate, width)
    model, x = BayesianNetwork(net, prior, Gaussian(1.0)), record.x[:, None]
    model.fit(x[:MONTHS], record.y[:MONTHS], steps=steps, batch_size=MONTHS, optimizer=optimizer, seed=seed, threads=threads,
              progress=progress)
    drawn = {"mc": model.predict(x, samples=samples, seed=seed, shared=True, keep_samples=True, threads=threads, progress=progress),
             "weight-averaging": model.predict(x, rule="weight-averaging", keep_samples=True, threads=threads)}
    return {rule: record.line + record.scale * prediction.samples[..., 0].astype(np.float64) for rule, prediction in drawn.items()}


def bands(record, drawn):
    """({rule: Band in ppm}, std of the noise in ppm). Both rules have the noise level that the training months ask of q."""
    tau = precision(drawn["mc"][:, :MONTHS], record.ppm[:MONTHS])
    return {rule: gaussian_band(f, tau, record.ppm) for rule, f in drawn.items()}, tau**-0.5


def straight_line(record):
    """What costs nothing: the window's straight line with its own std."""
    return gaussian_band(record.line[None], record.scale**-2, record.ppm)


def scores(record, band):
    """[{horizon, and its score}]."""
    month = np.arange(len(record.ppm)) - MONTHS
    return [{"horizon": name} | score(band, record.ppm, (month >= start) & (month < end)) for name, (start, end) in HORIZONS.items()]


def study(record, width, steps, samples, seed, threads=None, progress=False):
    """({net: {rule: Band}}, {net: noise std}, rows of scores), with the straight line for comparison."""
    shown, noise, rows = {}, {}, [{"model": LINE, "rule": ""} | row for row in scores(record, straight_line(record))]
    for name in NETS:
        shown[name], noise[name] = bands(record, functions(record, name, width, steps, samples, seed, threads, progress))
        rows += [{"model": name, "rule": rule} | row for rule, band in shown[name].items() for row in scores(record, band)]
    return shown, noise, rows
