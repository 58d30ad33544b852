"""weight decay = keep l^2/(N tau), or what becomes of it in other people's conventions: the one converter.

This project minimises L-hat/N = (1/N) sum_n -log p(y_n | f_n) + KL/N over M, with W = M diag(z), z in {0, 1},
and dropout's KL = keep l^2/2 ||M||^2 + C (bayes.kl). Elsewhere one trains Theta, by "gradient + wd * Theta"
(a penalty wd/2 ||Theta||^2), on

    J(Theta) = 1/N sum_n c ||y'_n - g_n||^2 + wd/2 ||Theta||^2, y' = (y - mean)/std, g = f(x, Theta diag(z'))

J is L/N up to a factor and a constant if Theta, wd and c are read as follows. Each line is one trap.

plain            Theta = M, z' = z. Gradient of KL/N: (keep l^2/N) M.
inverted         z' = z/keep, so that the same function has Theta = keep M:
                 KL = keep l^2/2 ||Theta||^2/keep^2, and keep becomes 1/keep.
likelihood       -log p = tau/2 ||y - f||^2 + const, so with c = 1/2 it is L/N = tau J:
                 the penalty of J is KL/(N tau).
without the 1/2  with c = 1 the error counts twice: L/N = tau/2 J, and wd doubles. In general L/N =
                 tau/(2c) J, and wd grows with 2c. A library's "mse" that averages over the K outputs too
                 has c = 1/K.
standardised     f = mean + std g, so ||y - f||^2 = std^2 ||y' - g||^2: the precision of y' is tau std^2,
                 and wd falls by std^2. (One std for all outputs: with one for each, tau would have to be
                 one for each.)

Together    L/N = tau std^2/(2c) J    and    wd = l^2 keep^(+1 plain, -1 inverted) 2c/(N tau std^2).

For classes J has the mean of -log p in place of the error: tau = 1, c = 1/2. A penalty lambda ||Theta||^2 has
lambda = wd/2; then this is lambda = keep l^2/(2 N tau) of arXiv 1506.02142. Parameters outside the noise,
such as a dense bias, have keep = 1; a convolution's bias is inside. Multiplicative Gaussian noise has no
weight decay that is its KL (bayes.kl), so there is nothing to convert.
"""

from dataclasses import dataclass, replace
from math import sqrt

from .. import nn, require
from ..own import settle
from .prior import Prior


@dataclass(frozen=True)
class Convention:
    """How somebody else trains: J of the module's docstring.

    keep: P(z = 1) of the noise on these weights; 1 for a parameter outside the noise.
    inverted: masks are divided by keep.
    error_factor: c, beside the mean of ||y - f||^2: 1/2, or 1, or 1/K.
    target_std: what the targets were divided by, in their units.
    """

    keep: float = 1.0
    inverted: bool = False
    error_factor: float = 0.5
    target_std: float = 1.0

    def __post_init__(self):
        settle(self, keep=require.real("keep", self.keep, 0, 1, open_low=True),
               inverted=require.boolean("inverted", self.inverted),
               error_factor=require.real("error_factor", self.error_factor, 0, open_low=True),
               target_std=require.real("target_std", self.target_std, 0, open_low=True))

    def weight_decay(self, lengthscale: float, num_data: int, tau: float = 1.0) -> float:
        """wd of "gradient + wd * Theta", for the prior N(0, l^-2) and the precision tau, 1/(units of y)^2."""
        precision = _count(num_data) * _positive("tau", tau)
        return self._ratio() * _positive("lengthscale", lengthscale) ** 2 / precision

    def lengthscale(self, weight_decay: float, num_data: int, tau: float = 1.0) -> float:
        """l of the prior N(0, l^-2) that this weight decay stands for."""
        decay, count = _positive("weight_decay", weight_decay), _count(num_data)
        return (decay * count * _positive("tau", tau) / self._ratio()) ** 0.5

    def tau(self, weight_decay: float, lengthscale: float, num_data: int) -> float:
        """The precision of y, 1/(units of y)^2, that this weight decay stands for under N(0, l^-2)."""
        decay = _count(num_data) * _positive("weight_decay", weight_decay)
        return self._ratio() * _positive("lengthscale", lengthscale) ** 2 / decay

    def loss_factor(self, tau: float = 1.0) -> float:
        """d(L/N)/dJ = tau std^2/(2c): so d(L/N)/dM = loss_factor * dJ/dTheta, times `theta_factor`."""
        return _positive("tau", tau) * self.target_std**2 / (2 * self.error_factor)

    @property
    def theta_factor(self) -> float:
        """dTheta/dM: Theta = keep M for inverted dropout."""
        return self.keep if self.inverted else 1.0

    def _ratio(self):
        """wd N tau/l^2."""
        return (1 / self.keep if self.inverted else self.keep) * 2 * self.error_factor / self.target_std**2


def sgd_of_inverted(net: nn.Network, sgd: nn.SGD, weight_decay: float, num_data: int) -> tuple[nn.SGD, Prior]:
    """(optimizer, prior) that move M as `sgd` with `weight_decay` moves Theta = keep M, with masks over keep.

    So does Caffe. A step on Theta at rate r with decay wd is, with dL/dTheta = dL/dM / keep,

        Theta' = Theta - r (dL/dTheta + wd Theta)    or    M' = M - (r/keep^2) (dL/dM + keep^2 wd M),

    and the gradient of KL/N is (keep l^2/N) M:    keep l^2/N = keep^2 wd,    l^2 = keep wd N.

    Momentum and the rate's policy stay: both are linear in the step. sgd.multipliers: those of Theta. What is
    trained on is J with L/N = J: classes, or tau = 1 and c = 1/2. One difference is left: a dense bias lies
    outside its layer's noise, where the prior's one l for the layer gives it the decay keep wd, not wd.
    """
    _positive("weight_decay", weight_decay)
    _count(num_data)
    multipliers, lengthscales = {}, {}
    for name, layer in net.layers.items():
        if layer.param_shapes():
            keep = layer.noise.mean  # 1 without noise
            steps = Convention(keep, inverted=True).theta_factor ** 2
            multipliers[name] = {p: sgd.multiplier(name, p) / (steps if p in layer.noisy_params else 1)
                                 for p in layer.param_shapes()}
            lengthscales[name] = sqrt(keep * weight_decay * num_data)
    return replace(sgd, multipliers=multipliers), Prior(lengthscales)


def _positive(name, value):
    return require.real(name, value, 0, open_low=True)


def _count(num_data):
    return require.integer("num_data", num_data, 1)
