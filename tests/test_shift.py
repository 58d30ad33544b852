"""Turned and noisy images: quarter turns exactly, mass kept, ranges and seeds."""

import numpy as np
import pytest

from minibayes import InputError, data
from minibayes.studies.shift import noisy, rotated

IMAGES = data.mnist()[2][:50]


@pytest.mark.parametrize("turns", [-1, 0, 1, 2, 3, 4, 7])
def test_quarter_turns_are_exact(turns):
    x = np.random.default_rng(0).random((2, 9, 9, 3), np.float32)
    assert (rotated(x, 90 * turns) == np.rot90(x, turns, axes=(1, 2))).all()
    assert rotated(x, 90 * turns).dtype == np.float32


def test_one_pixel_goes_where_it_should():
    """A point at (row, column) from the centre, rows pointing down, is turned about it."""
    x = np.zeros((1, 21, 21, 1))
    x[0, 10, 15, 0] = 1.0  # five to the right
    turned = rotated(x, 30)[0, :, :, 0]
    row = (turned * np.arange(21)[:, None]).sum() / turned.sum()
    column = (turned * np.arange(21)).sum() / turned.sum()
    # (row, column) -> (cos row - sin column, sin row + cos column)
    assert (row, column) == pytest.approx((10 - 5 * np.sin(np.pi / 6), 10 + 5 * np.cos(np.pi / 6)), abs=0.15)


@pytest.mark.parametrize("degrees", [15, 45, 100, 211])
def test_ink_is_kept_and_turning_back_nearly_undoes_it(degrees):
    turned = rotated(IMAGES, degrees)
    assert turned.shape == IMAGES.shape and turned.min() >= 0 and turned.max() <= IMAGES.max()
    assert turned.sum() == pytest.approx(IMAGES.sum(), rel=0.02)
    back = rotated(turned, -degrees)
    assert np.sqrt(((back - IMAGES) ** 2).mean()) < 0.35 * np.sqrt((IMAGES**2).mean())


def test_noise_has_its_std_and_its_seed():
    grey = np.full((10, 28, 28, 1), 0.5, np.float32)
    a = noisy(grey, 0.1, seed=3)
    assert (a == noisy(grey, 0.1, seed=3)).all() and (a != noisy(grey, 0.1, seed=4)).any()
    assert a.dtype == np.float32
    assert abs(a.std() - 0.1) < 4 * 0.1 / np.sqrt(2 * a.size)
    assert 0 <= noisy(IMAGES, 5.0, 0).min() <= noisy(IMAGES, 5.0, 0).max() <= 1
    assert (noisy(grey, 0, 0) == grey).all()


def test_what_is_refused():
    with pytest.raises(InputError, match="degrees must be"):
        rotated(IMAGES, np.nan)
    with pytest.raises(InputError, match="std must be"):
        noisy(IMAGES, -1, 0)
