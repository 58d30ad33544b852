"""z: its distribution, its moments, and that it is a pure function of (seed, pass, layer, example, unit)."""

import numpy as np
import pytest

from minibayes import nn
from minibayes.nn import key

NOISES = [nn.Bernoulli(0.5), nn.Bernoulli(0.9), nn.Bernoulli(0.05), nn.Bernoulli(1.0), nn.Gaussian(), nn.Gaussian(0.25), nn.Delta()]


@pytest.mark.parametrize("noise", NOISES, ids=repr)
def test_moments(noise):
    z = noise.sample(nn.Key(3), (200, 2000), "layer").astype(np.float64)
    n = z.size
    fourth = {"Bernoulli": noise.mean, "Gaussian": 1 + 6 * noise.variance + 3 * noise.variance**2, "Delta": 1.0}[type(noise).__name__]
    # Four standard errors from the exact moments; 1e-7 for the rounding of z to float32.
    assert abs(z.mean() - noise.mean) <= 4 * np.sqrt(noise.variance / n) + 1e-7
    assert abs((z**2).mean() - noise.second_moment) <= 4 * np.sqrt(max(fourth - noise.second_moment**2, 0) / n) + 1e-7
    assert noise.variance == pytest.approx(noise.second_moment - noise.mean**2, abs=1e-15)


@pytest.mark.parametrize("noise", [nn.Bernoulli(0.5), nn.Bernoulli(0.7), nn.Gaussian(2.0)], ids=repr)
def test_units_examples_passes_and_layers_are_uncorrelated(noise):
    n, d = 400, 512
    base = noise.sample(nn.Key(1), (n, d), "a").astype(float) - noise.mean
    others = {
        "layer": noise.sample(nn.Key(1), (n, d), "b"),
        "pass": noise.sample(nn.Key(1, t=1), (n, d), "a"),
        "seed": noise.sample(nn.Key(2), (n, d), "a"),
        "derived": noise.sample(nn.Key(1).derive("x"), (n, d), "a"),
    }
    for name, other in others.items():
        assert abs((base * (other - noise.mean)).mean()) <= 4 * noise.variance / np.sqrt(n * d), name
    for lag in (1, 2, 3, 4, 32, 64, 128):
        assert abs((base[:, lag:] * base[:, :-lag]).mean()) <= 4.5 * noise.variance / np.sqrt(n * (d - lag)), lag
    assert abs((base[1:] * base[:-1]).mean()) <= 4 * noise.variance / np.sqrt((n - 1) * d)


def test_gaussian_distribution_function():
    """Kolmogorov and Smirnov's distance to the normal: sqrt(n) D exceeds 2.2 with probability 2 exp(-2 * 2.2^2) = 1e-4."""
    from math import erf
    z = np.sort(nn.Gaussian(4.0).sample(0, (100, 400), dtype=np.float64).reshape(-1))
    F = np.array([0.5 * (1 + erf((v - 1) / 2 / np.sqrt(2))) for v in z])
    ranks = np.arange(len(z))
    distance = max((F - ranks / len(z)).max(), ((ranks + 1) / len(z) - F).max())
    assert np.sqrt(len(z)) * distance < 2.2


@pytest.mark.parametrize("noise", [nn.Bernoulli(0.5), nn.Bernoulli(0.8), nn.Gaussian()], ids=repr)
def test_row_depends_on_its_example_and_pass_only(noise):
    rows = noise.sample(nn.Key(9), (40, 5, 7), "c")
    order = np.random.default_rng(0).permutation(40)
    assert (noise.sample(nn.Key(9), (40, 5, 7), "c", examples=order) == rows[order]).all()
    assert (noise.sample(nn.Key(9), (8, 5, 7), "c", examples=np.arange(20, 28)) == rows[20:28]).all()
    stacked = noise.sample(nn.Key(0 + 9), (6, 5, 7), "c", examples=np.array([0, 1, 2] * 2), passes=np.array([0] * 3 + [4] * 3))
    assert (stacked[:3] == rows[:3]).all()
    assert (stacked[3:] == noise.sample(nn.Key(9, t=4), (3, 5, 7), "c")).all()


def test_a_narrower_layer_sees_the_first_units():
    wide, narrow = (nn.Bernoulli(0.5).sample(4, (3, d), "l") for d in (1000, 130))
    assert (wide[:, :130] == narrow).all()


def test_layers_keep_their_noise_when_others_come_or_go():
    drop = nn.Bernoulli(0.5)
    small = nn.Network(a=nn.Dense(4, 6, noise=drop), b=nn.Dense(6, 2, noise=drop))
    large = nn.Network(zero=nn.Dense(4, 4, noise=drop), a=nn.Dense(4, 6, noise=drop), r=nn.ReLU(), b=nn.Dense(6, 2, noise=drop))
    assert (small.sample(5, (3, 4))["b"] == large.sample(5, (3, 4))["b"]).all()


def test_bernoulli_is_exact_at_every_digit():
    """P(z = 1) = sum of digits: digits are those of the float itself, not of a rounded threshold."""
    for keep in (0.5, 0.1, 1 / 3, 0.995, 2**-20):
        digits = key.digits(keep)
        assert sum(float(d) * 2.0 ** -(i + 1) for i, d in enumerate(digits)) == keep


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_draws_for_a_noise_of_one_s_own(dtype):
    """Uniform, normal and bit draws: distribution, ends, independence of the paths, and rows that depend on their own counters only."""
    n, d = 300, 1000
    base = nn.Key(5).of("layer")
    rows = nn.Rows.of(base, n, dtype=dtype)
    u, v = base.uniform((n, d), rows), base.of("another").uniform((n, d), rows)
    assert u.dtype == dtype and 0 < u.min() and u.max() < 1 and len(np.unique(u)) > 0.98 * u.size
    for k, moment, variance in ((1, 1 / 2, 1 / 12), (2, 1 / 3, 4 / 45)):
        assert abs((u.astype(float) ** k).mean() - moment) <= 4 * np.sqrt(variance / u.size)
    counts = np.histogram(u, 64, (0, 1))[0]
    assert ((counts - u.size / 64) ** 2).sum() / (u.size / 64) < 63 + 4 * np.sqrt(2 * 63)                 # chi squared
    assert abs(((u - 0.5).astype(float) * (v - 0.5)).mean()) <= 4 / 12 / np.sqrt(u.size)
    for lag in (1, 2, 4):
        assert abs(((u[:, lag:] - 0.5).astype(float) * (u[:, :-lag] - 0.5)).mean()) <= 4 / 12 / np.sqrt(n * (d - lag))
    normal, bits = base.normal((n, d), rows), base.bernoulli((n, d), rows, 0.3)
    assert normal.dtype == dtype and abs(normal.mean(dtype=float)) <= 4 / np.sqrt(normal.size)
    assert bits.dtype == np.uint8 and abs(bits.mean() - 0.3) <= 4 * np.sqrt(0.21 / bits.size)
    some = nn.Rows.of(base, 3, examples=np.array([7, 7, 2]), passes=np.array([0, 1, 0]), dtype=dtype)
    for draw in (base.uniform, base.normal, lambda shape, rows: base.bernoulli(shape, rows, 0.3)):
        whole, part = draw((n, d), rows), draw((3, d), some)
        assert (part[0] == whole[7]).all() and (part[2] == whole[2]).all() and (part[1] != whole[7]).any()


def test_keys():
    assert nn.Key(1).derive("fit") == nn.Key(1).derive("fit")
    assert len({nn.Key(s).derive(p).seed for s in (0, 1, 2**64 - 1) for p in ("fit", "order", "predict")}) == 9
    assert nn.Key(5).at(3) == nn.Key(5, 3)
    assert (nn.Bernoulli(0.5).sample(7, (2, 9)) == nn.Bernoulli(0.5).sample(nn.Key(7), (2, 9))).all()
    assert (nn.Bernoulli(0.5).sample(nn.Key(7), (1, 999)) != nn.Bernoulli(0.5).sample(nn.Key(7 + 2**32), (1, 999))).any()


def test_bernoulli_is_stored_in_a_byte():
    assert nn.Bernoulli(0.3).sample(0, (2, 3), dtype=np.float64).dtype == np.uint8
    assert nn.Gaussian().sample(0, (2, 3), dtype=np.float64).dtype == np.float64
