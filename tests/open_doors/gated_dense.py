"""f = s(G xz + c) o (M xz + b), xz = x o z: a dense layer with a gate; z multiplies columns of both."""

from dataclasses import dataclass

import numpy as np

from minibayes import nn


@dataclass(frozen=True)
class GatedDense(nn.Layer):
    n_in: int
    n_out: int
    noise: nn.Noise = nn.Delta()
    noisy_params = ("M", "G")

    def param_shapes(self):
        K, D = self.n_out, self.n_in
        return {"M": (K, D), "b": (K,), "G": (K, D), "c": (K,)}

    def init(self, rng, dtype=np.float32):
        return {p: rng.normal(0, self.n_in**-0.5 if len(shape) == 2 else 0, shape).astype(dtype)
                for p, shape in self.param_shapes().items()}

    def input_shape(self):
        return (self.n_in,)

    def output_shape(self, shape):
        return (self.n_out,)

    def forward(self, params, x, z=1):
        xz = (x * z).astype(x.dtype)                                # diag(z_n) x_n                 (B, D)
        gate = 1 / (1 + np.exp(-xz @ params["G"].T - params["c"]))  # s(G xz + c)                   (B, K)
        y = xz @ params["M"].T + params["b"]                        # M xz + b                      (B, K)
        return gate * y, (x, xz, z, gate, y)

    def backward(self, params, cache, df):
        x, xz, z, gate, y = cache
        dy, da = df * gate, df * y * gate * (1 - gate)              # dL/d(M xz + b), dL/d(G xz + c)
        dxz = dy @ params["M"] + da @ params["G"]
        grads = {"M": dy.T @ xz, "b": dy.sum(axis=0), "G": da.T @ xz, "c": da.sum(axis=0)}
        if self.noise.learned:
            grads["z"] = (dxz * x).sum(axis=0, keepdims=True) if len(z) < len(x) else dxz * x
        return (dxz * z).astype(df.dtype), grads
