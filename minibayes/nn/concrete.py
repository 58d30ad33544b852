"""z = sigmoid((logit keep + logit u)/t), u ~ uniform(0, 1): dropout whose keep is learned.

With t -> 0 it is z = 1 where u > 1 - keep and 0 elsewhere, Bernoulli(keep), which has no derivative in keep.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from .. import require
from ..own import settle
from .key import Key, Rows
from .learned import sum_to
from .noise import Noise

REACH = 40.0  # sigmoid(-40) = 4e-18: what is beyond adds nothing, and no square or product of it underflows
COLDEST = 0.01  # the least temperature above 0: the number of nodes of `points` grows like 1/t
FAR = 12.0  # nodes of `points` reach so far in logit u; e^-12 = 6e-6 of the mass is beyond, and counted there


@dataclass(frozen=True)
class Concrete(Noise):
    """z = sigmoid((logit keep + e)/t), e = logit u.  dz/dlogit keep = z (1 - z)/t.  keep is learned.

    Concrete dropout (Gal, Hron and Kendall, arXiv 1705.07832), with keep for their 1 - p and z not rescaled.
    phi is {"logit_keep"}.

    *Train soft.* z lies between 0 and 1, and carries a gradient. It is nearly Bernoulli(keep), not quite: at
    t = 0.1 E[z] is off by less than 0.002, and E[z^2] is short by about t keep (1 - keep), see `moments`.
    The KL is that of Bernoulli(keep), its limit t -> 0: bayes/rules/concrete.py says why.

    *Predict soft, or hard.* `net.hard()` is the same network at temperature 0, where z is 0 or 1, with
    P(z = 1) = keep; it takes the same parameters and, u being the same, almost the same masks. What the two
    predictions differ by is the price of the relaxation.

    keep: P(z = 1) to start from, in (0, 1); 0.9 by default.
    temperature: t, from 0.01 to 1; 0.1 by default, as in the paper. 0 is the limit: to predict with.
    per: "layer" (by default), one keep for the layer; "unit", one for each ray.
    """

    keep: float = 0.9
    temperature: float = 0.1
    per: str = "layer"

    def __post_init__(self):
        settle(self, keep=require.real("keep", self.keep, 0, 1, open_low=True, open_high=True),
               temperature=require.real("temperature", self.temperature, 0, 1),
               per=require.choice("per", self.per, ("layer", "unit")))
        if 0 < self.temperature < COLDEST:
            raise require.InputError(f"temperature must be 0 or in [{COLDEST}, 1], got {self.temperature!r}")

    def start(self, shape: tuple) -> dict:
        shape = (1,) * len(shape) if self.per == "layer" else shape
        return {"logit_keep": np.full(shape, np.log(self.keep) - np.log1p(-self.keep))}

    def draw(self, key: Key, shape: tuple, rows: Rows) -> np.ndarray:
        u = key.uniform(shape, rows)
        return np.log(u) - np.log1p(-u)                             # logit u: finite, as 0 < u < 1

    def z(self, phi: dict, eps: np.ndarray) -> np.ndarray:
        v = phi["logit_keep"] + eps
        return sigmoid(v / self.temperature) if self.temperature else (v > 0).astype(v.dtype)

    def pull(self, phi: dict, eps: np.ndarray, dz: np.ndarray) -> dict:
        """At temperature 0 an error: z is a step, so what reaches keep through it is 0 and means nothing."""
        if not self.temperature:
            raise require.InputError(f"{self!r} learns nothing through z, a step: train with a temperature "
                                     "above 0")
        z = self.z(phi, eps)
        slope = dz * (z * (1 - z) / self.temperature)
        return {"logit_keep": sum_to(slope, phi["logit_keep"].shape)}       # sum_n dz_n z_n (1 - z_n)/t

    def moments(self, phi: dict) -> tuple:
        """E[z], E[z^2] of z as it is drawn: at temperature 0 both are keep, else by numerical integration.

        With v = (logit keep + e)/t, e of density r(e) = sigmoid(e) sigmoid(-e), what parts z = sigmoid(v)
        from the step v > 0 is sigmoid(-|v|), odd in v. So, a = logit keep and all v > 0,

            E[z]   - keep = t int sigmoid(-v) [r(t v + a) - r(t v - a)] dv                      O(t^2)
            E[z^2] - keep = t int [sigmoid(-v)^2 r(t v + a) - (1 - sigmoid(v)^2) r(t v - a)] dv
                          = -t keep (1 - keep) + O(t^2)

        A Gauss-Legendre rule on (0, 40): to about 1e-10.
        """
        a, t = np.asarray(phi["logit_keep"], np.float64)[..., None], self.temperature
        keep = sigmoid(a[..., 0])
        if not t:
            return keep.astype(phi["logit_keep"].dtype), keep.astype(phi["logit_keep"].dtype)
        nodes, weights = gauss()
        v, weights = REACH / 2 * (nodes + 1), t * REACH / 2 * weights
        above, below = density(t * v - a), density(t * v + a)       # of e where v > 0, and where v < 0
        first = sigmoid(-v) * (below - above)
        second = sigmoid(-v) ** 2 * below - (1 - sigmoid(v) ** 2) * above
        return tuple((keep + (weights * f).sum(axis=-1)).astype(phi["logit_keep"].dtype)
                     for f in (first, second))

    def points(self, order: int) -> tuple:
        """A trapezoid rule in logit u, whatever keep is: its step, 1.5 t, resolves the rise of z.

        To about 1e-5 of g(z), in the middle of whose rise it is coarsest. order: fewer nodes than that step
        takes (161 at t = 0.1) are not offered.
        """
        if not self.temperature:
            raise require.InputError(f"{self!r} has no nodes that serve every keep: enumerate "
                                     "nn.Bernoulli at the keep that was learned")
        count = max(order, int(np.ceil(2 * FAR / min(1.5 * self.temperature, 0.5))) + 1)
        values, step = np.linspace(-FAR, FAR, count, retstep=True)
        weights = step * density(values)
        weights[0] = weights[-1] = sigmoid(step / 2 - FAR)          # all that is beyond: z is 0 or 1 there
        return values, weights / weights.sum()

    def hard(self) -> "Concrete":
        return replace(self, temperature=0.0)

    def settings(self) -> tuple:
        return (("keep", "P(z = 1) to start from", self.keep),
                ("temperature", "of the relaxation; 0: z in {0, 1}", self.temperature))


@lru_cache(maxsize=1)
def gauss() -> tuple[np.ndarray, np.ndarray]:
    """The rule of `moments` on (-1, 1)."""
    return np.polynomial.legendre.leggauss(128)


def sigmoid(v: np.ndarray) -> np.ndarray:
    """1/(1 + exp(-v)), without overflow; between 4e-18 and 1."""
    return 1 / (1 + np.exp(-np.clip(v, -REACH, REACH)))


def density(e: np.ndarray) -> np.ndarray:
    """Of e = logit u: the logistic law's, sigmoid(e) sigmoid(-e)."""
    return sigmoid(e) * sigmoid(-e)
