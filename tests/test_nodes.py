"""Noise of one's own in exact integrals without a word more: nodes in the place of random numbers, or a refusal."""

from dataclasses import dataclass

import numpy as np
import pytest

from minibayes import InputError, bayes, checks, nn
from minibayes.truth import exact


@dataclass(frozen=True)
class Own(nn.Noise):
    """One whose draw and moments are given: of a key, `shape` and `rows`."""

    which: str = "uniform"

    def draw(self, key, shape, rows):
        return DRAWS[self.which][0](key, shape, rows)

    def moments(self, phi):
        return DRAWS[self.which][1]


def uniform(key, shape, rows):
    return key.uniform(shape, rows)


def normal(key, shape, rows):
    return key.normal(shape, rows)


DRAWS = {  # (draw, (E[z], E[z^2]), E[z^4])
    "uniform": (lambda *a: 0.5 + uniform(*a), (1.0, 1 + 1 / 12), (1.5**5 - 0.5**5) / 5),
    "of two": (lambda k, *a: uniform(k.of("u"), *a) + uniform(k.of("v"), *a), (1.0, 7 / 6), (2**6 - 2) / 30),
    "log-normal": (lambda *a: np.exp(0.3 * normal(*a)), (np.exp(0.045), np.exp(0.18)), np.exp(8 * 0.09)),
    "spike and slab": (lambda k, *a: k.of("c").bernoulli(*a, 0.3) * (1 + normal(k.of("n"), *a)), (0.3, 0.6), 0.3 * 10),
    "coin": (lambda k, *a: k.bernoulli(*a, 0.3), (0.3, 0.3), 0.3),
    # what must be refused
    "a step": (lambda k, *a: (uniform(k, *a) < 0.8).astype(float), (0.8, 0.8), None),
    "a step at a half": (lambda k, *a: (uniform(k, *a) < 0.5).astype(float), (0.5, 0.5), None),
    "a flat piece": (lambda *a: np.maximum(normal(*a), 0), (1 / np.sqrt(2 * np.pi), 0.5), None),
    "a singularity": (lambda *a: -np.log(uniform(*a)), (1.0, 2.0), None),
    "other moments": (lambda *a: 0.5 + uniform(*a), (1.0, 1.1), None),
    "more numbers": (lambda k, s, r: k.uniform((*s, 2), r).sum(axis=-1), (1.0, 7 / 6), None),
    "four draws": (lambda k, *a: sum(uniform(k.of(n), *a) for n in "abcd"), (2.0, 4 + 1 / 3), None),
    "no key": (lambda k, s, r: np.random.default_rng().uniform(size=s), (0.5, 1 / 3), None),
    "words of its own": (lambda k, s, r: np.full(s, float(k.words[0] % 2)), (0.5, 0.5), None)}
REFUSED = [kind for kind, (_, _, fourth) in DRAWS.items() if fourth is None]


@pytest.mark.parametrize("kind", [kind for kind in DRAWS if kind not in REFUSED])
def test_the_moments_that_follow(kind):
    """The fourth moment, which is not asked for; and checks.noise finds nothing wrong."""
    values, weights = Own(kind).points(20)
    assert values.ndim == 1 and weights.sum() == pytest.approx(1) and (weights > 0).all()
    assert weights @ values.astype(float) ** 4 == pytest.approx(DRAWS[kind][2], rel=1e-10)
    verdict = checks.noise(Own(kind))
    assert verdict.passed, verdict


@pytest.mark.parametrize("kind", REFUSED)
def test_where_nodes_would_not_do(kind):
    with pytest.raises(InputError, match=r"cannot be enumerated: write points\(order\)"):
        Own(kind).points(20)


def test_an_objective_by_hand():
    """-E log N(y; w x, 1/tau), w = m z, of a noise with two methods: from its moments, as the loss is a square."""
    x, y, m, tau = np.array([[0.7], [-1.2]]), np.array([[0.3], [1.0]]), 0.9, 2.0
    net = nn.Network(a=nn.Dense(1, 1, noise=Own("of two")))
    first, second = DRAWS["of two"][1]
    found = exact.predict(net, {"a": {"M": np.array([[m]]), "b": np.zeros(1)}}, bayes.Gaussian(tau), x, order=6)
    np.testing.assert_allclose(found.mean, m * first * x, rtol=1e-12)
    np.testing.assert_allclose(found.epistemic, m**2 * (second - first**2) * x**2, rtol=1e-12)
    by_hand = y**2 - 2 * y * m * first * x + m**2 * second * x**2
    np.testing.assert_allclose((y - found.f[..., 0]) ** 2 @ found.w, by_hand[:, 0], rtol=1e-12)
    assert not exact.enumerated(net)


def test_a_drawn_coin_is_enumerated():
    assert exact.enumerated(nn.Network(a=nn.Dense(2, 1, noise=Own("coin"))))
    values, weights = Own("coin").points(3)
    np.testing.assert_array_equal(values, [0, 1])
    np.testing.assert_allclose(weights, [0.7, 0.3])
