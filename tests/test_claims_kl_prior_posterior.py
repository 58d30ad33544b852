"""Claims 5, 6, 12 and 15: the pieces that they are made of."""

import math

import numpy as np
import pytest

from minibayes import bayes, nn
from minibayes.bayes import kl
from minibayes.claims import kl as kl_claims
from minibayes.claims import kl_monte_carlo, posterior_one_weight
from minibayes.claims import prior as prior_claims


def test_findings_are_the_same_every_time():
    assert kl_monte_carlo.monte_carlo() == kl_monte_carlo.monte_carlo()
    assert posterior_one_weight.one_weight() == posterior_one_weight.one_weight()


def test_the_overlap_s_integrals():
    """int 2 cosh(v/2) h(v) dv = 4 pi, int v^2 2 cosh(v/2) h(v) dv = 4 pi (pi^2 + 8).

    h(v) is the entropy of a coin with log-odds v.
    """
    v = np.arange(-200, 200.01, 1 / 16)  # cut off below 200 e^-100; poles at +-i pi: off by exp(-2 pi^2 16)
    size = np.abs(v)
    h = np.log1p(np.exp(-size)) + size / (1 + np.exp(size))  # even in v, and nothing cancels
    weight = 2 * np.cosh(v / 2) * h / 16
    assert weight.sum() == pytest.approx(4 * math.pi, rel=1e-12)
    assert (v * v * weight).sum() == pytest.approx(4 * math.pi * (math.pi**2 + 8), rel=1e-12)


@pytest.mark.parametrize("noise", [kl_claims.DROP, kl_claims.MGN], ids=repr)
def test_a_conv_ray_has_its_bias_in_it(noise):
    """The row (M_k, b_k) of a convolution is one ray: it has the KL of a dense column with the same numbers.

    (The dense bias is at 0.)
    """
    m = kl_claims.RAYS[1]
    net = nn.Network((1, 1, 1), c=nn.Conv2d(1, 1, 1, noise=noise))
    params = {"c": {"M": m[:1].reshape(1, 1, 1, 1), "b": m[1:]}}
    wanted = kl_claims.value(noise, m)
    assert kl.value(net, params, bayes.Prior(kl_claims.L)) == pytest.approx(wanted, rel=1e-15)


def test_mixture_quadrature_at_a_known_value():
    """m = 0: q = N(0, s^2 I) whatever keep, and the KL is that of two Gaussians."""
    for K in (1, 2):
        s, l = 0.3, kl_claims.L
        wanted = K / 2 * (l**2 * s**2 - 1 - math.log(l**2 * s**2))
        assert kl_claims.quadrature(np.zeros(K), s) == pytest.approx(wanted, rel=1e-13)


def test_arc_cosine_kernel_at_known_angles():
    """(x, 1) and (y, 1) at 0 degrees: half the product; at 90: 1/(2 pi) of it; near 180: 0; at 60; any l."""
    x, y = np.array([[2.0]]), np.array([[-0.5]])  # (2, 1) . (-1/2, 1) = 0
    lengths = math.sqrt(5) * math.sqrt(1.25)
    assert prior_claims.arc_cosine(x, x, 1.0).item() == pytest.approx(5 / 2, rel=1e-14)
    assert prior_claims.arc_cosine(x, y, 1.0).item() == pytest.approx(lengths / (2 * math.pi), rel=1e-14)
    assert prior_claims.arc_cosine(x, y, 2.0).item() == pytest.approx(lengths / (8 * math.pi), rel=1e-14)
    far = np.array([[1e4]])
    assert prior_claims.arc_cosine(far, -far, 1.0).item() < 1e-4
    # (0, 1) and (sqrt 3, 1)
    sixty = prior_claims.arc_cosine(np.array([[0.0]]), np.array([[math.sqrt(3)]]), 1.0).item()
    assert sixty == pytest.approx((math.sqrt(3) / 2 + math.pi / 3) / math.pi, rel=1e-12)


def test_arc_cosine_kernel_against_quadrature():
    """E relu(a x + b) relu(a y + b), (a, b) = r (cos t, sin t): int r^3 phi dr = 1/pi, t by trapezoids."""
    x, y = 0.7, -0.4
    l, n = 1.3, 200_000
    t = 2 * math.pi * np.arange(n) / n
    product = np.maximum(x * np.cos(t) + np.sin(t), 0) * np.maximum(y * np.cos(t) + np.sin(t), 0)
    wanted = product.mean() * 2 / l**2  # E r^2 = 2; kinks cost O(1/n^2)
    found = prior_claims.arc_cosine(np.array([[x]]), np.array([[y]]), l).item()
    assert found == pytest.approx(wanted, rel=1e-8)


def test_excess_kurtosis_is_15_over_width_in_the_limit():
    x = np.array([[3.0, -4.0]])
    assert prior_claims.excess(x, 10**6, 1.0).item() == pytest.approx(15 / 10**6, rel=1e-5)
    v = 26.0  # width 1 by hand: V = 1 + r^2, E V = 1 + v/2, Var V = 5 v^2/4
    wanted = 3 * 1.25 * v**2 / (1 + v / 2) ** 2
    assert prior_claims.excess(x, 1, 1.0).item() == pytest.approx(wanted, rel=1e-14)


def test_one_weight_grid_is_ridge_regression():
    x, y = posterior_one_weight.line(20)
    (w, w_variance), (b, b_variance) = posterior_one_weight.exact_line(x, y)
    at_0, at_1 = posterior_one_weight.grid_line(x, y)
    cut = 2 * 38 * math.exp(-18)  # what of the second moment lies beyond 6 sds, generously
    assert at_0[0] == pytest.approx(b, rel=1e-12) and at_1[0] == pytest.approx(w + b, rel=1e-12)
    assert at_0[1] == pytest.approx(b_variance, rel=cut)
    assert at_1[1] == pytest.approx(w_variance + b_variance, rel=cut)


def test_one_weight_gradient_can_fail():
    """Away from the optimum the expected gradient is far above its tolerance: the check has teeth."""
    x, y = posterior_one_weight.line(20)
    (w, _), (b, _) = posterior_one_weight.exact_line(x, y)
    keep = posterior_one_weight.KEEP
    masks = (nn.Bernoulli(keep), (0.0, 1.0), (1 - keep, keep))
    worst, tolerance = posterior_one_weight.expected_gradient(*masks, 1.001 * w, b, x, y)
    assert worst > 1e6 * tolerance
