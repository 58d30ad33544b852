"""What is timed, each a callable that does a fixed amount of work: training steps and predictions."""

import numpy as np

from .. import models, nn
from ..bayes import Categorical, Gaussian, Objective, Prior
from ..checkpoint import State
from ..fast import parallel
from ..fast.forks import gate
from ..model import BayesianNetwork
from ..run import Run

TRAIN_FLOP = 13.2e6  # LeNet-all, an image: forward + backward without dL/dx;
MC_FLOP = 4.0e6  # a pass with conv1 computed once
BATCH, TRAIN_STEPS, TINY_STEPS = 64, 50, 500  # repetitions that last about as long as PyTorch's


def digits(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random images and labels: no arithmetic here depends on the pictures."""
    rng = np.random.default_rng(seed)
    return rng.random((count, 28, 28, 1), np.float32), rng.integers(0, 10, count)


class Training:
    """`steps` training steps of a network, as fit takes them."""

    def __init__(self, net, x, y, likelihood, optimizer, batch_size, steps, threads, prior=None):
        self.steps, self.threads = steps, threads
        objective = Objective(net, prior or Prior(1.0), likelihood, len(x))
        self.run = Run(objective, optimizer, x, y, batch_size, seed=0)
        params = net.init(0)
        self.state = State(0, params, optimizer.init(params))

    def __call__(self):
        step = gate.passed(self.run.step)
        with parallel.pool(self.threads) as pool:
            for _ in range(self.steps):
                self.state = step(self.state, pool)


class Prediction:
    """model.predict on fixed inputs."""

    def __init__(self, net, x, likelihood, threads, **options):
        self.model = BayesianNetwork(net, likelihood=likelihood, params=net.init(0))
        self.x, self.options = x, options | {"threads": threads}

    def __call__(self):
        self.model.predict(self.x, **self.options)


def lenet_training(threads: int, steps: int = TRAIN_STEPS, variant: str = "all") -> Training:
    x, y = digits(BATCH * 20)
    return Training(models.lenet(variant), x, y, Categorical(), nn.SGD(0.01, momentum=0.9), BATCH, steps,
                    threads)


def lenet_prediction(threads: int, count: int, samples: int, noise_per: str = "patch",
                     shared: bool = False) -> Prediction:
    return Prediction(models.lenet("all", noise_per=noise_per), digits(count)[0], None, threads,
                      samples=samples, shared=shared)


def mlp_training(threads: int, steps: int = 5) -> Training:
    x, y = digits(BATCH * 20)
    return Training(models.mlp([784, 1024, 1024, 10]), x.reshape(len(x), -1), y, Categorical(),
                    nn.SGD(0.01, momentum=0.9), BATCH, steps, threads)


def mlp_prediction(threads: int, count: int, samples: int, shared: bool) -> Prediction:
    return Prediction(models.mlp([784, 1024, 1024, 10]), digits(count)[0].reshape(count, -1), None, threads,
                      samples=samples, shared=shared)


def tiny_net() -> nn.Network:
    return models.mlp([13, 50, 1], noise=nn.Bernoulli(0.95), input_noise=nn.Bernoulli(0.95))


def table(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, 13)).astype(np.float32), rng.standard_normal((count, 1))


def tiny_training(threads: int, steps: int = TINY_STEPS) -> Training:
    return Training(tiny_net(), *table(12_800), Gaussian(1.0), nn.Adam(1e-3), 128, steps, threads)


def tiny_prediction(threads: int, samples: int = 10_000) -> Prediction:
    return Prediction(tiny_net(), table(51)[0], Gaussian(1.0), threads, samples=samples)
