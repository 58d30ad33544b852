"""The atlas: a training step and an MC pass of many nets, each beside the same net in PyTorch.

A net is written once, as a list of what it does to its input, and built from that list on either side: `ours`
here, `works` in PyTorch's process (peer.py). On both sides batches are shuffled, the noise sits in the same
places, and what comes before the first noise is computed once for all passes of a prediction.

    ("conv", K, k, padding, keep)   Conv2d, and noise on its outputs unless keep = 1
    ("dense", K, keep)              noise on its inputs unless keep = 1, and Dense
    ("pool",) ("relu",) ("tanh",) ("flat",)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .. import nn
from ..bayes import Categorical, Gaussian
from ..studies import common
from . import work
from .timing import interleaved

PASSES = 10  # of a prediction
FLOP = 6e9  # of a repetition, about


def lenet(conv1: float, conv2: float, keep: float) -> list:
    return [("conv", 20, 5, 0, conv1), ("pool",), ("conv", 50, 5, 0, conv2), ("pool",), ("flat",),
            ("dense", 500, 1), ("relu",), ("dense", 10, keep)]


def perceptron(*widths: int, first: float = 1, keep: float = 0.5, rise: str = "relu") -> list:
    layers = [("dense", widths[0], first)]
    for width in widths[1:]:
        layers += [(rise,), ("dense", width, keep)]
    return layers


def block(width: int, keep: float) -> list:
    """conv3 - ReLU - conv3 - ReLU - pool, with padding."""
    return [("conv", width, 3, 1, 1), ("relu",), ("conv", width, 3, 1, 1), ("relu",), ("pool",)]


@dataclass(frozen=True)
class Row:
    """One net of the atlas: the shape of an input, its layers, the batch, and what is drawn."""

    name: str
    shape: tuple
    layers: list
    batch: int = 64
    mgn: bool = False  # Gaussian noise N(1, 1) in the place of Bernoulli
    optimizer: str = "sgd"
    inputs: int = 256  # of a prediction

    @property
    def outputs(self) -> int:
        return self.layers[-1][1]


DIGIT, IMAGE = (28, 28, 1), (32, 32, 3)
HEAD = [("flat",), ("dense", 128, 0.5), ("relu",), ("dense", 10, 0.5)]
ROWS = (
    Row("LeNet-all, batch 16", DIGIT, lenet(0.5, 0.5, 0.5), 16),
    Row("LeNet-all, batch 64", DIGIT, lenet(0.5, 0.5, 0.5)),
    Row("LeNet-all, batch 256", DIGIT, lenet(0.5, 0.5, 0.5), 256),
    Row("LeNet-ip", DIGIT, lenet(1, 1, 0.5)),
    Row("LeNet-all, MGN", DIGIT, lenet(0.5, 0.5, 0.5), mgn=True),
    Row("32-64-500, conv drop relu pool", DIGIT,
        [("conv", 32, 5, 0, 0.5), ("relu",), ("pool",), ("conv", 64, 5, 0, 0.5), ("relu",), ("pool",),
         ("flat",), ("dense", 500, 1), ("relu",), ("dense", 10, 0.5)]),
    Row("32-32-128, conv relu conv relu pool", DIGIT,
        [("conv", 32, 3, 0, 1), ("relu",), ("conv", 32, 3, 0, 1), ("relu",), ("pool",), *HEAD]),
    Row("32-64-128, conv drop pool relu", DIGIT,
        [("conv", 32, 3, 0, 0.5), ("pool",), ("relu",), ("conv", 64, 3, 0, 0.5), ("pool",), ("relu",),
         *HEAD]),
    Row("two blocks of 3x3 on 32x32x3", IMAGE, [*block(32, 1), *block(64, 1), *HEAD], 32, inputs=64),
    Row("784-1024-1024-10, batch 64", (784,), perceptron(1024, 1024, 10)),
    Row("784-1024-1024-10, batch 256", (784,), perceptron(1024, 1024, 10), 256),
    Row("784-1024-1024-10, MGN", (784,), perceptron(1024, 1024, 10), mgn=True),
    Row("784-300-100-10, Adam", (784,), perceptron(300, 100, 10), optimizer="adam"),
    Row("1-1024x4-1 relu, batch 272", (1,), perceptron(*[1024] * 4, 1, keep=0.9), 272, inputs=272),
    Row("1-1024x4-1 tanh, batch 272", (1,), perceptron(*[1024] * 4, 1, keep=0.9, rise="tanh"), 272,
        inputs=272),
    Row("13-50-1, batch 128, Adam", (13,), perceptron(50, 1, first=0.95, keep=0.95), 128,
        optimizer="adam"),
)


def ours(row: Row) -> nn.Network:
    """The net of a row."""
    noise = (lambda keep: nn.Gaussian(1.0)) if row.mgn else nn.Bernoulli
    shape, layers = row.shape, {}
    simple = {"relu": nn.ReLU(), "tanh": nn.Tanh(), "flat": nn.Flatten(), "pool": nn.MaxPool2d(2)}
    for i, (kind, *settings) in enumerate(row.layers):
        if kind == "conv":
            K, k, padding, keep = settings
            layer = nn.Conv2d(shape[-1], K, k, padding=padding,
                              noise=nn.Delta() if keep == 1 else noise(keep))
        elif kind == "dense":
            K, keep = settings
            layer = nn.Dense(shape[0], K, noise=nn.Delta() if keep == 1 else noise(keep))
        else:
            layer = simple[kind]
        layers[f"{kind}{i}"] = layer
        shape = layer.output_shape(shape)
    return nn.Network(row.shape, **layers)


def steps(row: Row) -> int:
    """Training steps of one repetition."""
    return max(2, min(300, round(FLOP / (3 * row.batch * ours(row).flops(row.shape)))))


def data(row: Row, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.random((count, *row.shape), np.float32)
    return x, rng.integers(0, 10, count) if row.outputs == 10 else rng.standard_normal((count, 1))


def here(row: Row, threads: int) -> dict[str, Callable]:
    """{"train", "mc"}: what is timed here."""
    net, likelihood = ours(row), Categorical() if row.outputs == 10 else Gaussian(1.0)
    optimizer = nn.Adam(1e-3) if row.optimizer == "adam" else nn.SGD(0.001, momentum=0.9)
    x, y = data(row, row.batch * 4)
    return {"train": work.Training(net, x, y, likelihood, optimizer, row.batch, steps(row), threads),
            "mc": work.Prediction(net, data(row, row.inputs)[0], likelihood, threads, samples=PASSES)}


def works(torch: object) -> dict[str, Callable]:
    """{"row/train", "row/mc", ...}: the same in PyTorch, images channels-last too."""
    F, table = torch.nn.functional, {}

    def noisy(row, keep):
        if row.mgn:
            return lambda x: x * torch.empty_like(x).normal_(1, 1)
        return lambda x: F.dropout(x, 1 - keep, True)

    def operations(row):
        """[(whether it draws, function)], parameters."""
        shape, made, modules = row.shape, [], []
        simple = {"relu": F.relu, "tanh": torch.tanh, "flat": lambda x: x.flatten(1),
                  "pool": lambda x: F.max_pool2d(x, 2)}
        shapes = ours(row).shapes(row.shape).values()
        for (kind, *settings), (_, after) in zip(row.layers, shapes, strict=True):
            if kind in simple:
                made.append((False, simple[kind]))
            else:
                keep, noise = settings[-1], noisy(row, settings[-1])
                module = (torch.nn.Conv2d(shape[-1], settings[0], settings[1], padding=settings[2])
                          if kind == "conv" else torch.nn.Linear(shape[0], settings[0]))
                modules.append(module)
                own = [(False, module)] if keep == 1 else [(False, module), (True, noise)]
                made += own if kind == "conv" else own[::-1]
            shape = after
        return made, torch.nn.ModuleList(modules)

    def through(made, x):
        for _, function in made:
            x = function(x)
        return x

    def add(row, form):
        made, modules = operations(row)
        name = "train channels-last" if form else "train"
        x, y = data(row, row.batch * 4)
        images = x.ndim == 4

        def tensor(a):
            a = torch.from_numpy(np.ascontiguousarray(np.moveaxis(a, -1, 1)) if images else a)
            return a.to(memory_format=torch.channels_last) if form else a

        if form:
            modules.to(memory_format=torch.channels_last)
        inputs, targets = tensor(x), torch.from_numpy(y if row.outputs == 10 else y.astype(np.float32))
        loss = F.cross_entropy if row.outputs == 10 else F.mse_loss
        kind = torch.optim.Adam if row.optimizer == "adam" else torch.optim.SGD
        more = {} if row.optimizer == "adam" else {"momentum": 0.9}
        optimizer = kind(modules.parameters(), 1e-3, weight_decay=1e-4, **more)
        count = steps(row)

        def train():
            done = 0
            while done < count:
                for rows in torch.randperm(len(inputs)).split(row.batch)[:count - done]:
                    optimizer.zero_grad()
                    loss(through(made, inputs[rows]), targets[rows]).backward()
                    optimizer.step()
                    done += 1

        first = next(i for i, (draws, _) in enumerate(made) if draws)
        asked = tensor(data(row, row.inputs)[0])

        @torch.inference_mode()
        def mc():
            h = through(made[:first], asked)
            f = [through(made[first:], h) for _ in range(PASSES)]
            if row.outputs == 10:
                return sum(one.softmax(dim=1) for one in f) / PASSES
            f = torch.stack(f)
            return f.mean(0), f.var(0)

        table[f"{row.name}/{name}"], table[f"{row.name}/{name.replace('train', 'mc')}"] = train, mc

    for row in ROWS:
        for form in (False, True) if len(row.shape) == 3 else (False,):
            add(row, form)
    return table


def geometric_mean(ratios: list) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def functions(threads: int, peer: Callable | None) -> dict:
    """{(row, what, where): callable} to be timed; peer: None without PyTorch."""
    found = {}
    for row in ROWS:
        found |= {(row.name, what, "here"): function for what, function in here(row, threads).items()}
        if peer is not None:
            for form in ("", " channels-last") if len(row.shape) == 3 else ("",):
                found |= {(row.name, what, "there" + form): peer(f"{row.name}/{what}{form}")
                          for what in ("train", "mc")}
    return found


def measure(timed: dict, rounds: int) -> dict:
    """{row: {"train_ms", "mc_ms", "train_ratio", "mc_ratio"}} of `functions`; ratios if PyTorch is there."""
    took, result = interleaved(timed, rounds), {}
    for row in ROWS:
        count = {"train": steps(row), "mc": PASSES}
        result[row.name] = {f"{what}_ms": took[row.name, what, "here"] / count[what] * 1e3 for what in count}
        for what in count:
            there = [took[key] for key in took if key[:2] == (row.name, what) and key[2] != "here"]
            if there:
                result[row.name][f"{what}_ratio"] = min(there) / took[row.name, what, "here"]
    return result


def table(result: dict) -> str:
    """Every net, the geometric means and the worst rows."""
    def ratio(row, what):
        return f"{row[what]:.2f} x" if what in row else "-"

    rows = [(name, f"{row['train_ms']:.2f} ms", ratio(row, "train_ratio"), f"{row['mc_ms']:.2f} ms",
             ratio(row, "mc_ratio")) for name, row in result.items()]
    lines = [common.table(("net", "training step", "PyTorch takes", "MC pass", "PyTorch takes"), rows)]
    for what, label in (("train_ratio", "training"), ("mc_ratio", "MC")):
        found = {name: row[what] for name, row in result.items() if what in row}
        if found:
            worst = min(found, key=found.get)
            lines.append(f"{label}: geometric mean {geometric_mean(list(found.values())):.2f} x, "
                         f"worst {found[worst]:.2f} x ({worst})")
    return "\n".join(lines)
