"""y = x sin x, learned by a 1-20-20-1 network with dropout .05, from 20 exact points or from 200 noisy ones.

The paper's toy net has 20 ReLU and 20 sigmoid units. Here the second layer is tanh = 2 sigmoid(2a) - 1: the
same functions, since sigmoid(a) = (1 + tanh(a/2))/2, but not quite the same noise, as a dropped unit falls to
the middle of its range and not to its low end. Both saturate, so far from the data f_t is constant and the
band cannot grow. Adam on L-hat with prior lengthscale .1: settings of this project, as none were published.
"""

from typing import NamedTuple

import numpy as np

from ... import bayes, nn
from ...model import BayesianNetwork
from .band import Band, gaussian_band, precision, score

KEEP, UNITS = 0.95, 20
LENGTHSCALE, RATE = 0.1, 0.01
POINTS, NOISY_POINTS = 20, 200
FRESH = 2000
INSIDE, EDGE = 5.0, 10.0  # the data end at +-INSIDE, the picture at +-EDGE
DRAWS = 20


class Toy(NamedTuple):
    """One data set, predicted on a grid. bands: each array (G,).  draws: functions from q, (DRAWS, G)."""

    x: np.ndarray
    y: np.ndarray
    grid: np.ndarray
    truth: np.ndarray
    bands: dict[str, Band]
    draws: np.ndarray


def truth(x: np.ndarray) -> np.ndarray:
    return x * np.sin(x)


def noise_std(x: np.ndarray) -> np.ndarray:
    """The std of the noise of the second data set: from 0.2 where the data begin to 2.2 where they end."""
    return 0.2 + 0.2 * (x + INSIDE)


def network(outputs: int = 1) -> nn.Network:
    drop = nn.Bernoulli(KEEP)
    return nn.Network(fc1=nn.Dense(1, UNITS), relu1=nn.ReLU(), fc2=nn.Dense(UNITS, UNITS, noise=drop),
                      tanh2=nn.Tanh(), fc3=nn.Dense(UNITS, outputs, noise=drop))


def fitted(net: nn.Network, likelihood: bayes.Gaussian | bayes.Heteroscedastic, x: np.ndarray, y: np.ndarray,
           steps: int, seed: int, threads: int | None, progress: bool) -> BayesianNetwork:
    """A model of the points (x, y), trained in full batches."""
    model = BayesianNetwork(net, bayes.Prior(LENGTHSCALE), likelihood)
    model.fit(x[:, None], y, steps=steps, batch_size=len(x), optimizer=nn.Adam(RATE), seed=seed,
              threads=threads, progress=progress)
    return model


def passes(model: BayesianNetwork, x: np.ndarray, samples: int, seed: int, threads: int | None,
           rule: str = "mc") -> np.ndarray:
    """f_t at the points x, the first output: (T, N) float64; each pass one function: one omega for all x."""
    prediction = model.predict(x[:, None], samples=samples, seed=seed, shared=rule == "mc", rule=rule,
                               keep_samples=True, threads=threads)
    return prediction.samples[..., 0].astype(np.float64)


def sine(samples: int, steps: int, seed: int, threads: int | None = None,
         progress: bool = False) -> tuple[Toy, dict]:
    """20 points without noise: (Toy, scores of both rules between the points and beyond them)."""
    x = np.linspace(-INSIDE, INSIDE, POINTS)
    model = fitted(network(), bayes.Gaussian(1.0), x, truth(x), steps, seed, threads, progress)
    tau = precision(passes(model, x, samples, seed, threads), truth(x))
    grid = np.linspace(-EDGE, EDGE, 401)
    f = {rule: passes(model, grid, samples, seed, threads, rule) for rule in ("mc", "weight-averaging")}
    bands = {rule: gaussian_band(f_t, tau, truth(grid)) for rule, f_t in f.items()}
    regions = {"between the points": np.abs(grid) <= INSIDE, "beyond them": np.abs(grid) > INSIDE}
    rows = [{"rule": rule, "region": region} | score(band, truth(grid), where)
            for rule, band in bands.items() for region, where in regions.items()]
    toy = Toy(x, truth(x), grid, truth(grid), bands, f["mc"][:DRAWS])
    return toy, {"noise_std": tau**-0.5, "scores": rows}


def growing_noise(samples: int, steps: int, seed: int, threads: int | None = None,
                  progress: bool = False) -> tuple[Toy, dict]:
    """200 noisy points, one sigma against sigma(x): (Toy, scores on fresh points and the sigma(x) found)."""
    rng = np.random.default_rng([seed, 1])
    x, fresh = (np.sort(rng.uniform(-INSIDE, INSIDE, count)) for count in (NOISY_POINTS, FRESH))
    y, y_fresh = (truth(at) + noise_std(at) * rng.standard_normal(len(at)) for at in (x, fresh))
    grid = np.linspace(-INSIDE, INSIDE, 201)

    constant = fitted(network(), bayes.Gaussian(1.0), x, y, steps, seed, threads, progress)
    tau = precision(passes(constant, x, samples, seed, threads), y)
    varying = fitted(network(outputs=2), bayes.Heteroscedastic(), x, y, steps, seed, threads, progress)

    def both(at: np.ndarray, y_at: np.ndarray) -> tuple[dict[str, Band], np.ndarray]:
        """{model: Band} at the points `at`, and the std of the noise that the second model finds there."""
        found = varying.predict(at[:, None], samples=samples, seed=seed, shared=True, threads=threads)
        std, epistemic = np.sqrt(found.variance[:, 0]), np.sqrt(found.epistemic[:, 0])
        bands = {"constant": gaussian_band(passes(constant, at, samples, seed, threads), tau, y_at),
                 "heteroscedastic": Band(found.mean[:, 0], std, epistemic, found.log_likelihood(y_at))}
        return bands, np.sqrt(found.aleatoric[:, 0])

    bands, sigma = both(grid, truth(grid))
    fresh_bands, _ = both(fresh, y_fresh)
    regions = {"little noise": fresh <= 0, "much noise": fresh > 0, "all": np.ones(FRESH, bool)}
    rows = [{"noise": name, "region": region} | score(band, y_fresh, where)
            for name, band in fresh_bands.items() for region, where in regions.items()]
    gain = fresh_bands["heteroscedastic"].log_likelihood - fresh_bands["constant"].log_likelihood
    found = {"constant": tau**-0.5, "true": [float(noise_std(at)) for at in (-INSIDE, 0, INSIDE)],
             "found": sigma[[0, 100, 200]].tolist(),
             "relative_rmse": float(np.sqrt(np.mean((sigma / noise_std(grid) - 1) ** 2)))}
    result = {"scores": rows, "sigma": found, "gain": float(gain.mean()),
              "gain_se": float(gain.std(ddof=1) / np.sqrt(FRESH))}
    return Toy(x, y, grid, truth(grid), bands, passes(varying, grid, DRAWS, seed, threads)), result
