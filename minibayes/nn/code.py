"""h_n = m_n + s_n o e_n, (m_n, log s_n) = x_n: a code of each example, with the q that the network says."""

from dataclasses import dataclass, field

import numpy as np

from .. import require
from ..own import settle
from .key import Key, Rows
from .layers import Layer, ShapeError
from .noise import Noise, check_noise, normal_points
from .place import none


@dataclass(frozen=True)
class Standard(Noise):
    """z = e ~ N(0, 1): E[z] = 0, E[z^2] = 1. What `Code` scales and shifts; as a factor it would be no noise
    about 1.
    """

    local = True

    def draw(self, key: Key, shape: tuple, rows: Rows) -> np.ndarray:
        return key.normal(shape, rows)

    def moments(self, phi: dict) -> tuple:
        return 0.0, 1.0

    def points(self, order: int) -> tuple:
        return normal_points(order)


@dataclass(frozen=True)
class Code(Layer):
    """h_n = m_n + s_n o e_n,  e ~ N(0, 1),  (m_n, log s_n) = x_n the halves of x_n.     (B, 2n) -> (B, n)

    The noise of `MeanField`, w = m + s e, with m and log s computed for each example instead of learned for
    each weight: q(h_n | x_n) = N(m_n, diag s_n^2). The layers before it are an encoder, those after it a
    decoder, and the objective counts KL(q(h_n | x_n) || N(0, I)) for each example (`bayes.codes`): the
    variational autoencoder of Kingma and Welling (arXiv 1312.6114) and Rezende et al. (arXiv 1401.4082).

    dh/dm = 1,  dh/dlog s = s e.

    n: numbers in one code.
    noise: e; nn.Delta() for h = m, an autoencoder without a q.
    """

    n: int
    noise: Noise = field(default_factory=Standard)

    def __post_init__(self):
        settle(self, n=require.integer("n", self.n, 1))
        if check_noise(self.noise).random and not isinstance(self.noise, Standard):
            raise require.InputError("noise of a Code must be nn.Standard(), which it scales by the s it is "
                                     f"given, or nn.Delta(), got {self.noise!r}")

    @property
    def codes(self) -> bool:
        return self.noisy

    def input_shape(self) -> tuple:
        return (2 * self.n,)

    def output_shape(self, shape: tuple) -> tuple:
        if tuple(shape) != (2 * self.n,):
            raise ShapeError(f"takes (m, log s) in one row of shape ({2 * self.n},)", shape)
        return (self.n,)

    def noise_shape(self, shape: tuple, shared: bool = False) -> tuple:
        return (self.n,)

    def start_noise(self, dtype: object = np.float32) -> dict:
        return {}

    def mean_noise(self, params: dict, dtype: object = np.float32) -> np.ndarray:
        return np.zeros((1, self.n), dtype)

    def law(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(m, log s), (B, n) each, from what comes in."""
        return x[:, :self.n], x[:, self.n:]

    def forward(self, params: dict, x: np.ndarray, z: np.ndarray | int = 1) -> tuple:
        m, log_std = self.law(x)
        if none(z):
            return m.copy(), (x, None)
        se = np.exp(log_std) * z                        # s_n o e_n                     (B, n)
        return m + se, (x, se)

    def backward(self, params: dict, cache: tuple, df: np.ndarray) -> tuple:
        _, se = cache
        of_log_std = np.zeros_like(df) if se is None else df * se       # dh/dlog s = s e
        return np.concatenate([df, of_log_std], axis=1), {}             # dh/dm = 1     (B, 2n)
