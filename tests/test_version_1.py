"""Files that the first version wrote, in version_1/: they load, predict, and a run goes on from its checkpoint; masks keep their bits."""

from pathlib import Path

import numpy as np
import pytest

from minibayes import BayesianNetwork, bayes, load, models, nn, storage

FILES = Path(__file__).parent / "version_1"
EXPECTED = np.load(FILES / "expected.npz")


def test_a_convnet_loads_and_predicts():
    model = load(FILES / "model.npz")
    assert model.prior == bayes.Prior({"c": 1.0, "c2": 2.0, "d": 0.5, "e": 0.7}) and model.likelihood == bayes.Categorical()
    assert model.net.layers["c"] == nn.Conv2d(2, 3, 3, padding=1, noise=nn.Gaussian(0.5), noise_per="kernel", init_scheme="he")
    # Another BLAS may round differently; nothing else may.
    np.testing.assert_allclose(model.predict(EXPECTED["x"], samples=30, seed=4).mean, EXPECTED["mean"], rtol=2e-5)


def test_a_regression_loads_and_predicts():
    model = load(FILES / "regression.npz")
    assert model.likelihood == bayes.Gaussian(2.0)
    np.testing.assert_allclose(model.predict(EXPECTED["X"][:5], samples=20).mean, EXPECTED["regression"], rtol=2e-5)


def test_masks_keep_their_bits():
    net = load(FILES / "model.npz").net
    for name, z in net.sample(nn.Key(5, 3), (2, 9, 8, 2)).items():
        # sin, cos and log may round differently elsewhere; bits of a mask may not.
        same = z == EXPECTED[f"z/{name}"] if z.dtype == np.uint8 else abs(z - EXPECTED[f"z/{name}"]) <= 2e-7 * (1 + abs(z))
        assert z.dtype == EXPECTED[f"z/{name}"].dtype and same.all()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_goes_on_from_its_checkpoint(tmp_path, threads):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes((FILES / "checkpoint.npz").read_bytes())
    model = BayesianNetwork(models.mlp([3, 6, 2], noise=nn.Bernoulli(0.8)), bayes.Prior(0.5), bayes.Heteroscedastic())
    model.fit(EXPECTED["X"], EXPECTED["Y"], steps=20, batch_size=16, optimizer=nn.Adam(1e-2), checkpoint=path, threads=threads)
    for name, group in model.params.items():
        for p, a in group.items():
            np.testing.assert_allclose(a, EXPECTED[f"params/{name}/{p}"], rtol=1e-4, atol=1e-6)


def test_a_checkpoint_with_normal_noise_of_another_version_goes_on_and_says_so(tmp_path, monkeypatch):
    def run(noise, steps):
        model = BayesianNetwork(models.mlp([3, 4, 2], noise=noise))
        model.fit(np.ones((8, 3), "f4"), np.arange(8) % 2, steps=steps, checkpoint=tmp_path / f"{noise}.npz")

    with monkeypatch.context() as older:
        older.setattr(storage, "DRAWS", 1)
        for noise in (nn.Bernoulli(0.5), nn.Gaussian()):
            run(noise, 2)
    run(nn.Bernoulli(0.5), 4)  # whose bits are what they were
    with pytest.warns(UserWarning, match="rounded normal noise in float32 otherwise"):
        run(nn.Gaussian(), 4)
    run(nn.Gaussian(), 5)
