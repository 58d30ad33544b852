"""784-100-100-code-100-100-784 on MNIST, trained to give back its inputs, and what it then says of others."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ... import bayes, data, latent, metrics, nn
from ...bayes import targets
from ...model import BayesianNetwork

SIDE, PIXELS, HIDDEN, CODE = 28, 784, 100, 32
BATCH, RATE = 100, 1e-3
KEEP = 0.9  # of the decoder's two layers of weights after its first
KNOWN = np.arange(PIXELS) < PIXELS // 2  # the upper half
ACTIVE = 0.01  # a number of the code is in use where the variance of its mean over the data is above this


@dataclass(frozen=True)
class Grey(bayes.Bernoulli):
    """The Bernoulli loss of pixels between 0 and 1, as it is often written: not a density of grey values."""

    support = "unit"

    def targets(self, name: str, y: ArrayLike, count: int, outputs: int) -> np.ndarray:
        return targets.numbers(name, y, count, outputs, self.support).astype(np.float32)


MODELS = {"grey, as published": (Grey(), nn.Delta()), "black and white": (bayes.Bernoulli(), nn.Delta()),
          "with dropout": (bayes.Bernoulli(), nn.Bernoulli(KEEP))}


def network(noise: nn.Noise) -> nn.Network:
    return nn.Network(
        e1=nn.Dense(PIXELS, HIDDEN), r1=nn.ReLU(), e2=nn.Dense(HIDDEN, HIDDEN), r2=nn.ReLU(),
        law=nn.Dense(HIDDEN, 2 * CODE), code=nn.Code(CODE),
        d1=nn.Dense(CODE, HIDDEN), r3=nn.ReLU(), d2=nn.Dense(HIDDEN, HIDDEN, noise=noise), r4=nn.ReLU(),
        d3=nn.Dense(HIDDEN, PIXELS, noise=noise))


def rows(images: np.ndarray, black_and_white: bool) -> np.ndarray:
    """(N, 784) float32, in [0, 1] or, cut at 1/2, in {0, 1}."""
    flat = images.reshape(len(images), -1)
    return (flat > 0.5).astype(np.float32) if black_and_white else flat.astype(np.float32)


def groups(x: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Black-and-white images, as many of each kind as there are digits x (N, 784)."""
    clothes = rows(data.fashion_mnist()[0][:len(x)], True)
    rng = np.random.default_rng([seed, 3])
    return {"digits": x, "upside down": x.reshape(-1, SIDE, SIDE)[:, ::-1].reshape(len(x), -1),
            "clothes": clothes, "noise": (rng.random(x.shape) < x.mean()).astype(np.float32)}


def trained(name: str, images: np.ndarray, settings: dict, threads: int | None, progress: bool
            ) -> tuple[BayesianNetwork, list]:
    likelihood, noise = MODELS[name]
    x = rows(images, name != "grey, as published")
    model = BayesianNetwork(network(noise), bayes.Prior(1.0), likelihood)
    history = model.fit(x, x, epochs=settings["epochs"], batch_size=BATCH, optimizer=nn.Adam(RATE),
                        seed=settings["seed"], threads=threads, progress=progress)
    kept = ("epoch", "step", "loss", "nll", "seconds")
    return model, [{key: row[key] for key in kept} for row in history]


def bounds(model: BayesianNetwork, x: np.ndarray, settings: dict, threads: int | None) -> dict:
    """Test nats: both bounds with standard errors over the images, and how much of the code is in use."""
    found = latent.bound(model, x, samples=settings["samples"], seed=settings["seed"], threads=threads)
    out = {}
    for name in ("elbo", "importance"):
        values = getattr(found, name)
        out[name] = float(values.mean())
        out[f"{name}_se"] = float(values.std(ddof=1) / np.sqrt(len(values)))
    m, _ = latent.encode(model, x)
    return out | {"active": int((m.var(axis=0) > ACTIVE).sum())}


def uncertain(model: BayesianNetwork, kinds: dict, settings: dict, threads: int | None) -> tuple[dict, dict]:
    """({group: std of a pixel by code and by weights, bound}, their scores for each image)."""
    summary, scores = {}, {}
    for name, x in kinds.items():
        v = latent.variances(model, x, seed=settings["seed"], threads=threads)
        elbo = latent.bound(model, x, samples=10, seed=settings["seed"], threads=threads).elbo
        scores[name] = {"code": v.code.mean(axis=1), "weights": v.weights.mean(axis=1), "bound": -elbo}
        summary[name] = {"code": float(np.sqrt(v.code.mean())),
                         "weights": float(np.sqrt(max(v.weights.mean(), 0.0))), "elbo": float(elbo.mean())}
    for name in kinds:
        summary[name]["auroc"] = {} if name == "digits" else {
            score: metrics.auroc(scores["digits"][score], scores[name][score]) for score in scores[name]}
    return summary, scores


def completed(model: BayesianNetwork, x: np.ndarray, train_mean: np.ndarray, settings: dict,
              threads: int | None) -> tuple[dict, latent.Completion]:
    """Lower halves from upper ones: nats an image of what is missing, and how well p(pixel) is calibrated."""
    made = latent.complete(model, x, KNOWN, chains=settings["chains"], steps=settings["links"],
                           seed=settings["seed"], threads=threads)
    missing, p = x[:, ~KNOWN], np.clip(made.mean[:, ~KNOWN], 1e-4, 1 - 1e-4)
    base = np.broadcast_to(np.clip(train_mean[~KNOWN], 1e-4, 1 - 1e-4), p.shape)
    nats = {name: -np.where(missing > 0, np.log(q), np.log1p(-q)).sum(axis=1)
            for name, q in (("nats", p), ("base", base))}
    both = np.stack([1 - p.ravel(), p.ravel()], axis=1)
    found = {name: float(values.mean()) for name, values in nats.items()}
    found["nats_se"] = float(nats["nats"].std(ddof=1) / np.sqrt(len(x)))
    return found | {"accepted": made.accepted, "std": float(made.std[:, ~KNOWN].mean()),
                    "ece": metrics.calibration(both, missing.ravel().astype(int)).ece}, made


def study(settings: dict, threads: int | None = None, progress: bool = False) -> tuple[dict, dict]:
    """(what vae.json has beside settings, images and scores for the figure)."""
    x, _, x_test, _ = data.mnist()
    x, x_test = x[:settings["images"]], x_test[:settings["test"]]
    white, found, models = rows(x_test, True), {}, {}
    for name in MODELS:
        model, history = trained(name, x, settings, threads, progress)
        inputs = rows(x_test, name != "grey, as published")
        found[name] = {"history": history} | bounds(model, inputs, settings, threads)
        models[name] = model
    kinds = groups(white[:settings["count"]], settings["seed"])
    summary, scores = uncertain(models["with dropout"], kinds, settings, threads)
    mean, half = rows(x, True).mean(axis=0), white[:settings["count"]]
    plain, dropped = (completed(models[name], half, mean, settings, threads)
                      for name in ("black and white", "with dropout"))
    _, drawn = latent.sample(models["black and white"], 40, seed=settings["seed"])
    shown = {"samples": drawn, "true": half, "completion": dropped[1], "scores": scores}
    return {"models": found, "groups": summary,
            "completed": {"black and white": plain[0], "with dropout": dropped[0]}}, shown
