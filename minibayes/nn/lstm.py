"""c_t = f o c_t-1 + i o g, h_t = o o tanh c_t: long short-term memory; the derivative under the cell."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from .gru import sigmoid
from .recurrent import Recurrent


@dataclass(frozen=True)
class LSTM(Recurrent):
    """i, f, o = sigmoid(W_i,f,o [x_t ; h_t-1] + b), g = tanh(W_g [x_t ; h_t-1] + b_g).

    c_t = f o c_t-1 + i o g, h_t = o o tanh c_t, h_0 = c_0 = 0. W = M diag(z), M (4 H, D + H): the rows of i,
    f, g, o, in PyTorch's order; b (4 H,), there bias_ih + bias_hh. Hochreiter and Schmidhuber 1997, with the
    forget gate of Gers et al. 2000, whose bias starts at 1 (Jozefowicz et al. 2015): at first it remembers.
    The noise is on inputs and h, never on the memory c.

    The state carried is [h ; c], (B, 2 H). The settings are those of nn.GRU; untied noise has four z.
    """

    gates = 4
    state_numbers = 2

    def init(self, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> dict:
        params = super().init(rng, dtype)
        params["b"][self.n_out:2 * self.n_out] = 1
        return params

    def cell(self, params: dict, p: np.ndarray, q: np.ndarray, state: np.ndarray) -> tuple:
        before = state[:, self.n_out:]                  # c_t-1                         (B, H)
        a_i, a_f, a_g, a_o = np.split(p + q, 4, axis=1)
        i, f, o = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o)
        g = np.tanh(a_g)
        c = f * before + i * g                          # the memory
        out = np.tanh(c)
        return np.concatenate([o * out, c], axis=1), (before, i, f, g, o, out)

    def cell_back(self, params: dict, saved: tuple, dstate: np.ndarray) -> tuple:
        before, i, f, g, o, out = saved
        dh, dc = np.split(dstate, 2, axis=1)
        dc = dc + dh * o * (1 - out * out)              # h = o tanh c
        da = np.concatenate([dc * g * i * (1 - i),      # dc/di = g
                             dc * before * f * (1 - f),                 # dc/df = c_t-1
                             dc * i * (1 - g * g),      # dc/dg = i
                             dh * out * o * (1 - o)], axis=1)           # dh/do = tanh c
        return da, da, np.concatenate([np.zeros_like(dh), dc * f], axis=1)              # dc/dc_t-1 = f
