"""y_s+1 ~ (1/T) sum_t p(y | y_1 ... y_s, omega-hat_t): text, from one omega (T = 1) or from the average."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from .. import require
from ..floats import usual
from ..nn import carry
from ..nn.key import Key, as_key
from ..nn.network import Network
from .summary import log_softmax


@usual
def sample(net: Network, params: Mapping, start: ArrayLike, count: int, samples: int = 1, key: Key | int = 0,
           power: float = 1.0) -> np.ndarray:
    """`count` tokens, (count,) int64, that go on from the tokens `start`, (S,) with S >= 1.

    net: takes words (B, T), gives (B, T, C) with C words: an Embedding, recurrent layers with states="all".
    samples: T omegas, each with a state of its own; every token is drawn from the average of their
             probabilities. 1, by default: the text of one omega.
    key: a Key, or a seed, 0 by default, of the omegas and of the draws.
    power: tokens are drawn from p^power, normalised; 1 by default, more is safer.
    """
    count, samples = require.integer("count", count, 1), require.integer("samples", samples, 1)
    power, key = require.real("power", power, 0, open_low=True), as_key(key)
    dtype = next(iter(next(iter(params.values())).values())).dtype
    x = net.inputs("start", np.asarray(require.array("start", start))[None], dtype)
    if len(net.output_shape(x.shape[1:])) != 2:
        raise require.InputError("net must give outputs at each step: recurrent layers with states='all'")
    z = net.sample(key, (samples, 1), np.zeros(samples, int), np.arange(key.t, key.t + samples), dtype=dtype,
                   params=params)
    rng = np.random.default_rng(key.derive("text").seed)
    x, states, out = np.repeat(x, samples, axis=0), None, []
    for _ in range(count):
        f, _, states = carry.forward(net, params, x, z, states)
        p = np.exp(log_softmax(f[:, -1].astype(np.float64))).mean(axis=0) ** power      # never of log p
        out.append(rng.choice(len(p), p=p / p.sum()))
        x = np.full((samples, 1), out[-1], dtype)
    return np.array(out, np.int64)
