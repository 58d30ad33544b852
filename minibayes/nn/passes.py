"""f(x, omega-hat_t), t = 1 ... T, the plain way: all inputs at once, one pass after another."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from .key import Key, Rows

SIZE = 64  # inputs that are computed together where each shall have the same bits in every call


def groups(count: int, size: int) -> list[slice]:
    """`count` inputs cut into groups of `size`, the last one shorter."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def passes(net: object, params: dict, x: np.ndarray, key: Key, count: int, gather: Callable,
           shared: bool = False, first: int | None = None) -> Iterator:
    """f(x, omega-hat_t), t = 1 ... count: yields (inputs, gather(so far, f (1, N', K), [t], inputs)).

    The plain form of `fast.Program.passes`: `inputs` is a slice of x, pass t is drawn with
    key.at(key.t + t - 1), and `gather` adds it to what it returned last.

    first: the number of the first input, for its noise. Then they are taken in groups of one size, counted
           from the first; without it, they are numbered from 0 and taken all at once.
    """
    for inputs in groups(len(x), len(x) if first is None else SIZE):
        found, examples = None, np.arange(inputs.start, inputs.stop, dtype=np.uint64) + np.uint64(first or 0)
        for t in range(count):
            numbers = np.zeros(1, np.uint64) if shared else examples
            rows = Rows(numbers, np.full(len(numbers), key.t + t, np.uint64), x.dtype)
            eps = net.draw_rows(key, x.shape[1:], rows, shared)
            f, _ = net.forward(params, x[inputs], net.z(params, eps))
            found = gather(found, f[None], slice(t, t + 1), inputs)
        yield inputs, found


def average(net: object, params: dict, x: np.ndarray, gather: Callable, pooled: Mapping,
            grouped: bool = False) -> Iterator:
    """f at z = E[z], as one pass: yields what `passes` yields.

    pooled: see `expected_pooling`.
    grouped: whether the inputs are taken in groups, as `passes` takes those that have numbers.
    """
    z = net.mean_noise(params, x.dtype)
    for inputs in groups(len(x), SIZE if grouped else len(x)):
        own = x[inputs]
        f = expected_pooling(net, params, own, z, pooled) if pooled else net.forward(params, own, z)[0]
        yield inputs, gather(None, f[None], slice(0, 1), inputs)


def expected_pooling(net: object, params: dict, x: np.ndarray, z: dict, pooled: Mapping) -> np.ndarray:
    """f with z = E[z], but for the max-pools in `pooled`, {conv: pool}: E[max over the window of z y]."""
    for name, layer in net.layers.items():
        if name in pooled:
            x = net.layers[pooled[name]].expected(layer.noise, layer.respond(params[name], x)[0])
        elif name not in pooled.values():
            x, _ = layer.forward(params.get(name), x, z.get(name, 1))
    return x
