"""compress(net, params, how) -> a smaller network, its parameters, and what each of its matrices takes."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .. import packing, require
from ..floats import usual
from ..nn import Key, Network
from ..nn.network import check_network
from ..parameters import checked
from ..tables import Table
from .prune import LogAlpha
from .shrink import shrunk
from .step import check_changed, check_steps, of_network


class Row(NamedTuple):
    """One matrix before and after; its index says of each weight which value it has, 0 included."""

    name: str
    before: tuple  # its shape
    after: tuple
    left: int  # weights that are not 0
    values: int  # different ones among them
    entropy: float  # of the index, bits a weight
    packed: int  # bytes of its record in a compact file, measured

    @property
    def weights(self) -> int:
        return int(np.prod(self.before))

    @property
    def fewer_weights(self) -> float:
        """How many weights there were for each that is left; inf if none is."""
        return self.weights / self.left if self.left else np.inf

    @property
    def bits(self) -> float:
        """n H(index) + 32 K: the index by an ideal Huffman code, and the values."""
        return int(np.prod(self.after)) * self.entropy + 32 * self.values


class Compressed(NamedTuple):
    """net, params: without noise, predicting what the given ones do by weight averaging, less what was taken.

    rows: what each matrix takes, `Row`; others: numbers in biases and the like, left as they are, 32 bits
    each.
    """

    net: Network
    params: dict
    rows: tuple
    others: tuple  # (numbers before, after, bytes of their records)

    @property
    def fewer_weights(self) -> float:
        """All weights for each that is left, biases not counted."""
        left = sum(row.left for row in self.rows)
        return sum(row.weights for row in self.rows) / left if left else np.inf

    @property
    def fewer_bits(self) -> float:
        """32 n/sum (n H(index) + 32 K), biases not counted: the published way.

        A file may take fewer: its code knows that some rows and columns have more zeros than others.
        """
        bits = sum(row.bits for row in self.rows)
        return 32 * sum(row.weights for row in self.rows) / bits if bits else np.inf

    @property
    def packed(self) -> int:
        """Bytes of all records in a compact file, biases too; its frame and header come on top."""
        return sum(row.packed for row in self.rows) + self.others[2]

    @property
    def table(self) -> Table:
        lines = [(row.name, " x ".join(map(str, row.before)), " x ".join(map(str, row.after)),
                  f"{row.left:,}", f"{row.values:,}", f"{row.fewer_weights:.1f}",
                  f"{32 * row.weights / row.bits:.1f}" if row.bits else "inf", f"{row.packed:,}")
                 for row in self.rows]
        before, after, packed = (f"{number:,}" for number in self.others)
        lines.append(("others", before, after, after, "", "", "", packed))
        count = sum(row.weights for row in self.rows) + self.others[0]
        return Table("What is stored", ("", "before", "after", "not 0", "values", "x fewer weights",
                                        "x fewer bits", "bytes"), lines,
                     f"{self.fewer_weights:.1f} x fewer weights, {self.fewer_bits:.1f} x fewer bits "
                     f"(n H(index) + 32 K, without biases); {self.packed:,} bytes of {4 * count:,} with them")


@usual
def compress(net: Network, params: Mapping, how: object = LogAlpha(), seed: int = 0) -> Compressed:
    """The network, read by weight averaging, after each step of `how`, without the units that are left idle.

    net, params: an nn.Network and its parameters; its noise says what each weight is worth, and is then gone.
    how: a step or a tuple of them, in their order: LogAlpha(threshold) by default, SignalToNoise(share);
         KMeans(count), DirichletProcess(alpha), AtRandom(count); or a `Step` of one's own. () is none.
    seed: of the Gibbs sweeps and of AtRandom, 0 by default.

    Rows and columns of zeros leave the matrices: see `smaller`. The outputs are those of the network with
    these zeros, to rounding.
    """
    steps, key = check_steps(how), Key(require.integer("seed", seed, 0, 2**64 - 1)).derive("compress")
    params = checked("params", params, check_network(net).param_shapes())
    weights = of_network(net, params)
    for number, step in enumerate(steps):
        changed = check_changed(step, weights, step.apply(weights, key.of(str(number))))
        weights = {at: w._replace(mean=changed.get(at, w.mean)) for at, w in weights.items()}
    mean = means(net, params, weights)
    small, few = shrunk(net.without_noise(), mean)
    rows = tuple(measured(f"{name}/{p}", net.param_shapes()[name][p], few[name][p]) for name, p in weights)
    rest = [a for name, group in few.items() for p, a in group.items() if (name, p) not in weights]
    before = sum(a.size for name, group in mean.items() for p, a in group.items() if (name, p) not in weights)
    return Compressed(small, few, rows, (before, sum(a.size for a in rest),
                                         sum(len(packing.record(a)) for a in rest)))


def means(net: Network, params: Mapping, weights: Mapping) -> dict:
    """E[w] as parameters of the network without noise: of what the steps saw, and of the rest."""
    out = {}
    for name, group in params.items():
        moments = net.layers[name].weight_moments(group)
        out[name] = {p: np.array(weights[name, p].mean if (name, p) in weights else moments[p][0], a.dtype)
                     for p, a in group.items() if p in moments}
    return out


def measured(name: str, before: tuple, array: np.ndarray) -> Row:
    values, counts = np.unique(array, return_counts=True)
    share = counts / counts.sum()
    return Row(name, tuple(before), array.shape, int((array != 0).sum()), int((values != 0).sum()),
               float(-(share * np.log2(share)).sum()), len(packing.record(array)))
