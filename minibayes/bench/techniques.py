"""One perceptron under every kind of q: a training step and an MC pass of each, beside the same in PyTorch.

784-800-800-10 with ReLU, batch 64, SGD with momentum; a prediction of 64 inputs. In PyTorch each layer is
written as one would from its paper, with what does not change between passes computed once; its KL too, with
the weight decay left to the optimizer:

    dropout                Bernoulli masks on inputs
    DropConnect            a mask (B, K, D) in memory, times M, times x       here: drawn where it is used
    Gaussian DropConnect   the same, normal
    mean field             local reparameterisation: x M^T + sqrt(x^2 (s^2)^T) e, and 1/2 l^2 s^2 - log s
    sparse                 the same, and Molchanov's fit of the KL             here: the KL itself
    variational            (1 + sqrt(alpha) e) x, an alpha for each input, and that fit  here: the KL itself
    concrete               sigmoid((logit keep + logit u)/t) x, and its KL, in which ||M||^2 is
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import bayes, nn
from ..bayes import Categorical
from ..bayes.rules.loguniform import MOLCHANOV
from ..studies import common
from . import work
from .timing import interleaved

SIZES, BATCH, EXAMPLES = (784, 800, 800, 10), 64, 256
KEEP, VARIANCE, STD, TEMPERATURE = 0.5, 1.0, 0.01, 0.1


class Row(NamedTuple):
    """noise before every layer; counts: training steps and passes of a repetition, here and there."""

    noise: nn.Noise
    place: nn.Place | None = None
    prior: bayes.Prior = bayes.Prior(1.0)
    counts: tuple = ((10, 10), (10, 10))


DEAR = ((5, 5), (1, 1))  # a step of PyTorch's takes as long as a hundred of dropout
ROWS = {
    "dropout": Row(nn.Bernoulli(KEEP)),
    "DropConnect": Row(nn.Bernoulli(KEEP), nn.Weights(), counts=DEAR),
    "Gaussian DropConnect": Row(nn.Gaussian(VARIANCE), nn.Weights(), bayes.WeightDecay(1.0), DEAR),
    "mean field": Row(nn.MeanField(STD)),
    "sparse": Row(nn.MeanField(STD), prior=bayes.LogUniform()),
    "variational": Row(nn.LearnedGaussian(0.5, per="unit"), prior=bayes.LogUniform()),
    "concrete": Row(nn.Concrete(KEEP, TEMPERATURE)),
}
WORK = {"train": "training step", "mc": "MC pass"}


def net(row: Row) -> nn.Network:
    layers = {}
    for i, (n_in, n_out) in enumerate(zip(SIZES, SIZES[1:], strict=False)):
        layers[f"fc{i}"] = nn.Dense(n_in, n_out, noise=row.noise, place=row.place)
        layers[f"relu{i}"] = nn.ReLU()
    layers.popitem()
    return nn.Network(**layers)


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((EXAMPLES, SIZES[0]), np.float32), rng.integers(0, SIZES[-1], EXAMPLES)


def here(row: Row, threads: int) -> dict[str, Callable]:
    steps, passes = row.counts[0]
    optimizer, (x, y) = nn.SGD(0.001, momentum=0.9), data()
    training = work.Training(net(row), x, y, Categorical(), optimizer, BATCH, steps, threads, row.prior)
    return {"train": training,
            "mc": work.Prediction(net(row), x[:BATCH], Categorical(), threads, samples=passes)}


def works(torch: object) -> dict[str, Callable]:
    """{"row/train", "row/mc"}: the same in PyTorch."""
    F, table, Parameter = torch.nn.functional, {}, torch.nn.Parameter
    k1, k2, k3 = MOLCHANOV

    def fit(log_alpha):
        """Molchanov's, of the KL under the log-uniform prior."""
        return (k1 - k1 * torch.sigmoid(k2 + k3 * log_alpha) + F.softplus(-log_alpha) / 2).sum()

    class Layer(torch.nn.Module):
        """f = self(x, still), where `still` is what no pass changes; kl(): but for weight decay."""

        def __init__(self, n_in, n_out):
            super().__init__()
            self.M, self.b = Parameter(torch.randn(n_out, n_in) * n_in**-0.5), Parameter(torch.zeros(n_out))

        def still(self):
            return None

        def kl(self):
            return 0.0

    class Dropout(Layer):
        def forward(self, x, still):
            return F.linear(x * torch.empty_like(x).bernoulli_(KEEP), self.M, self.b)

    class DropConnect(Layer):
        def forward(self, x, still):
            z = self.z(torch.empty(len(x), *self.M.shape))
            return torch.bmm(z * self.M, x[:, :, None])[:, :, 0] + self.b

        def z(self, room):
            return room.bernoulli_(KEEP)

    class GaussianDropConnect(DropConnect):
        def z(self, room):
            return room.normal_(1, VARIANCE**0.5)

    class MeanField(Layer):
        def __init__(self, n_in, n_out):
            super().__init__(n_in, n_out)
            self.log_std = Parameter(torch.full((n_out, n_in), float(np.log(STD))))

        def still(self):
            return torch.exp(2 * self.log_std)

        def forward(self, x, still):
            S = torch.sqrt(F.linear(x * x, still) + 1e-12)
            return F.linear(x, self.M, self.b) + S * torch.randn_like(S)

        def kl(self):
            return (torch.exp(2 * self.log_std) / 2 - self.log_std).sum()

    class Sparse(MeanField):
        def kl(self):
            return fit(2 * self.log_std - torch.log(self.M * self.M + 1e-12))

    class Variational(Layer):
        def __init__(self, n_in, n_out):
            super().__init__(n_in, n_out)
            self.log_alpha = Parameter(torch.full((n_in,), float(np.log(0.5))))

        def still(self):
            return torch.exp(self.log_alpha / 2)

        def forward(self, x, still):
            return F.linear(x * (1 + still * torch.randn_like(x)), self.M, self.b)

        def kl(self):
            return fit(self.log_alpha)

    class Concrete(Layer):
        def __init__(self, n_in, n_out):
            super().__init__(n_in, n_out)
            self.logit_keep = Parameter(torch.zeros(1))

        def forward(self, x, still):
            u = torch.rand_like(x).clamp_(1e-7, 1 - 1e-7)
            z = torch.sigmoid((self.logit_keep + torch.log(u) - torch.log1p(-u)) / TEMPERATURE)
            return F.linear(x * z, self.M, self.b)

        def kl(self):
            keep = torch.sigmoid(self.logit_keep)
            entropy = F.softplus(-self.logit_keep) + (1 - keep) * self.logit_keep
            return (keep * (self.M * self.M).sum() / 2 - self.M.shape[1] * entropy).sum()

    kinds = Dropout, DropConnect, GaussianDropConnect, MeanField, Sparse, Variational, Concrete
    x, y = (torch.from_numpy(a) for a in data())

    def add(name, kind):
        steps, passes = ROWS[name].counts[1]
        layers = torch.nn.ModuleList(kind(n_in, n_out) for n_in, n_out in zip(SIZES, SIZES[1:], strict=False))
        optimizer = torch.optim.SGD(layers.parameters(), 1e-3, momentum=0.9, weight_decay=1e-4)

        def through(h, stills):
            for i, (layer, still) in enumerate(zip(layers, stills, strict=True)):
                h = layer(F.relu(h) if i else h, still)
            return h

        def train():
            done = 0
            while done < steps:
                for rows in torch.randperm(EXAMPLES).split(BATCH)[:steps - done]:
                    optimizer.zero_grad()
                    f = through(x[rows], [layer.still() for layer in layers])
                    loss = F.cross_entropy(f, y[rows]) + sum(layer.kl() for layer in layers) / EXAMPLES
                    loss.backward()
                    optimizer.step()
                    done += 1

        @torch.inference_mode()
        def mc():
            stills = [layer.still() for layer in layers]
            return sum(through(x[:BATCH], stills).softmax(dim=1) for _ in range(passes)) / passes

        table[f"{name}/train"], table[f"{name}/mc"] = train, mc

    for name, kind in zip(ROWS, kinds, strict=True):
        add(name, kind)
    return table


def functions(threads: int, peer: Callable | None) -> dict:
    """{(row, what, where): callable} to be timed; peer: None without PyTorch."""
    found = {}
    for name, row in ROWS.items():
        found |= {(name, what, "here"): function for what, function in here(row, threads).items()}
        if peer is not None:
            found |= {(name, what, "there"): peer(f"{name}/{what}") for what in WORK}
    return found


def measure(timed: dict, rounds: int) -> dict:
    """{row: {"train_ms", "mc_ms", "train_ratio", "mc_ratio"}} of `functions`; ratios if PyTorch is there."""
    took, result = interleaved(timed, rounds), {}
    for name, row in ROWS.items():
        result[name] = {}
        for i, what in enumerate(WORK):
            ours = took[name, what, "here"] / row.counts[0][i]
            result[name][f"{what}_ms"] = ours * 1e3
            if (name, what, "there") in took:
                result[name][f"{what}_ratio"] = took[name, what, "there"] / row.counts[1][i] / ours
    return result


def table(result: dict) -> str:
    """A row for each q."""
    def ratio(row, name):
        return f"{row[name]:.2f} x" if name in row else "-"

    def cells(row):
        return [(f"{row[f'{what}_ms']:.2f} ms", ratio(row, f"{what}_ratio")) for what in WORK]

    rows = [(name, *sum(cells(row), ())) for name, row in result.items()]
    head = [cell for said in WORK.values() for cell in (said, "PyTorch takes")]
    return common.table(("q, 784-800-800-10, 64 images", *head), rows)
