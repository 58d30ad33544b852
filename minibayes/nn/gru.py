"""h_t = (1 - u) o n + u o h_t-1: the gated recurrent unit; the derivative of the cell under the cell."""

from dataclasses import dataclass

import numpy as np

from .place import total
from .recurrent import Recurrent


def sigmoid(a: np.ndarray) -> np.ndarray:
    """1/(1 + e^-a) = (1 + tanh(a/2))/2, which does not overflow."""
    return (1 + np.tanh(a / 2)) / 2


@dataclass(frozen=True)
class GRU(Recurrent):
    """r, u = sigmoid(W_r,u [x_t ; h_t-1] + b), n = tanh(W_nx x_t + b_n + r o (W_nh h_t-1 + c)).

    h_t = (1 - u) o n + u o h_t-1, h_0 = 0. W = M diag(z), M (3 H, D + H): the rows of r, of u, of n; the
    columns of x_t, then of h_t-1. b (3 H,), c (H,). The unit of Cho et al. (arXiv 1406.1078) with the reset
    gate after the product, as PyTorch and cuDNN have it: there weight_ih and weight_hh are M's two halves,
    u is called z, bias_ih is b, and bias_hh's last third is c (the others add to b).

    x (B, T, D); a row of NaN is no step. z (B, D + H): for a sequence one, whatever its length.

    n_in: D, numbers in one step.
    n_out: H, units of the state.
    noise: of z, on inputs and state, as for nn.Dense.
    over: "sequence" (by default), one z for all steps: one omega; "step", another z at each step, the usual
          mistake: it is there to be compared with.
    tied: whether the gates share one z, as by default: W = M diag(z); False: one z for each of the three.
    states: "last" (by default), the state after a sequence's last step, (B, H); "all", after each, (B, T, H),
            with NaN where there was no step.
    init_scheme: of M, gate by gate; "xavier" (by default), "he" or "lecun". b and c start at 0.
    """

    gates = 3

    def param_shapes(self) -> dict:
        return super().param_shapes() | {"c": (self.n_out,)}

    def cell(self, params: dict, p: np.ndarray, q: np.ndarray, h: np.ndarray) -> tuple:
        H = self.n_out
        q_n = q[:, 2 * H:] + params["c"]                # W_nh h + c                    (B, H)
        r = sigmoid(p[:, :H] + q[:, :H])                # reset gate
        u = sigmoid(p[:, H:2 * H] + q[:, H:2 * H])      # update gate
        n = np.tanh(p[:, 2 * H:] + r * q_n)             # the new state, where u = 0
        return n + u * (h - n), (h, q_n, r, u, n)       # (1 - u) o n + u o h

    def cell_back(self, params: dict, saved: tuple, dh: np.ndarray) -> tuple:
        h, q_n, r, u, n = saved
        da_u = dh * (h - n) * u * (1 - u)               # dh/du = h - n, du/da = u (1 - u)
        da_n = dh * (1 - u) * (1 - n * n)               # dh/dn = 1 - u, dn/da = 1 - n^2
        da_r = da_n * q_n * r * (1 - r)                 # da_n/dr = q_n
        dp = np.concatenate([da_r, da_u, da_n], axis=1)
        dq = np.concatenate([da_r, da_u, da_n * r], axis=1)             # da_n/dq_n = r
        return dp, dq, dh * u                           # dh/dh_t-1 = u, but for what comes through q

    def grads_of(self, dq: np.ndarray) -> dict:
        return {"c": total(dq[..., 2 * self.n_out:])}   # c is added to q_n
