"""What is compressed: 784-300-100-10 and LeNet on MNIST, dense, and under noise that each weight has."""

import math

import numpy as np

from ... import bayes, compress, models, nn
from ...model import BayesianNetwork
from ..sparsify import training as sparsify

# Shorter than `sparsify`'s: larger steps, more of them at the first rate, and more noise to begin with.
STAGES = ((0.6, 4e-3), (0.2, 8e-4), (0.2, 1.6e-4))
LENET_STAGES = ((0.6, 2e-3), (0.2, 4e-4), (0.2, 8e-5))
LOG_STD = {"mlp": -3.5, "lenet": -4.0}
BATCH = 100  # of what is not sparse
PRIOR = 10.0  # length-scale of mean field's normal prior: weights of 0.1
HASHED = (1 / 64, 1 / 16)  # values for each weight
MATRICES = {"mlp": 266_200, "lenet": 430_500}  # weights of the dense networks
WEIGHTS = {"mlp": 266_610, "lenet": 431_080}  # with their biases
NAMES = {"mlp": "784-300-100-10", "lenet": "LeNet 20-50-500-10"}


def perceptron(layer) -> nn.Network:
    """784-300-100-10 of layers (n_in, n_out)."""
    layers = {}
    for i, (n_in, n_out) in enumerate(zip(sparsify.SIZES, sparsify.SIZES[1:], strict=False), start=1):
        layers[f"fc{i}"] = layer(n_in, n_out)
        if i < len(sparsify.SIZES) - 1:
            layers[f"relu{i}"] = nn.ReLU()
    return nn.Network(**layers)


def lenet(noise: nn.Noise) -> nn.Network:
    """models.lenet with this noise on the weights of every layer."""
    net = models.lenet("all", noise)
    fc1 = net.layers["fc1"]
    return nn.Network(net.input_shape, **net.layers | {"fc1": nn.Dense(fc1.n_in, fc1.n_out, noise=noise)})


class Trainer:
    """Trains each network once, on the inputs that it takes."""

    def __init__(self, data: tuple, settings: dict, threads: int | None, progress: bool):
        images, labels, test, test_labels = data
        count = settings["images"]
        self.y, self.y_test, self.settings = labels[:count], test_labels, settings
        self.x = {"mlp": sparsify.rows(images[:count]), "lenet": images[:count]}
        self.x_test = {"mlp": sparsify.rows(test), "lenet": test}
        self.how = {"threads": threads, "progress": progress}

    def fit(self, kind: str, net: nn.Network, epochs: float, purpose: str = "dense", lengthscale: float = 1.0,
            rate: float = 1e-3, params: dict | None = None) -> BayesianNetwork:
        """By Adam, its rate a tenth at the end of the last half; params: trained on, zeros and ties kept."""
        model = BayesianNetwork(net, bayes.Prior(lengthscale))
        steps = max(2, round(epochs * -(-len(self.y) // BATCH)))
        optimizer = nn.Adam(rate, policy=lambda t: 0.1 ** max(0.0, 2 * t / steps - 1))
        optimizer = optimizer if params is None else compress.tied(params, optimizer)
        seed = nn.Key(self.settings["seed"]).derive(f"{kind} {purpose}").seed
        model.fit(self.x[kind], self.y, steps=steps, batch_size=BATCH, optimizer=optimizer, seed=seed,
                  params=params, **self.how)
        return model

    def dense(self, kind: str) -> BayesianNetwork:
        net = perceptron(nn.Dense) if kind == "mlp" else models.lenet("none")
        return self.fit(kind, net, self.settings["dense_epochs"][kind])

    def sparse(self, kind: str, labels: np.ndarray | None = None) -> BayesianNetwork:
        """Sparse variational dropout, by the schedule of `sparsify` with other numbers."""
        noise = nn.MeanField(math.exp(LOG_STD[kind]))
        net = sparsify.network(LOG_STD[kind]) if kind == "mlp" else lenet(noise)
        batch, stages = (250, STAGES) if kind == "mlp" else (200, LENET_STAGES)
        epochs, x, y = self.settings["sparse_epochs"][kind], self.x[kind], self.y
        if labels is not None:
            x, y, epochs = x[:len(labels)], labels, self.settings["random_epochs"]
        model = BayesianNetwork(net, bayes.LogUniform())
        schedule = sparsify.Schedule(epochs, batch, 0.3, stages)
        seed = nn.Key(self.settings["seed"]).derive(f"{kind} sparse").seed
        sparsify.fit(model, x, y, schedule, seed, **self.how)
        return model

    def mean_field(self) -> BayesianNetwork:
        """Bayes by Backprop under a normal prior, for pruning by signal to noise."""
        return self.fit("mlp", sparsify.network(-4.0), 2 * self.settings["dense_epochs"]["mlp"], "mean field",
                        PRIOR)

    def hashed(self, share: float) -> BayesianNetwork:
        net = perceptron(lambda n_in, n_out: nn.Hashed(n_in, n_out, max(1, round(share * n_in * n_out))))
        return self.fit("mlp", net, self.settings["dense_epochs"]["mlp"], "hashed")

    def random_labels(self) -> np.ndarray:
        """A label for each of some images, drawn without looking at them."""
        count = min(self.settings["random_images"], len(self.y))
        return np.random.default_rng([self.settings["seed"], 7]).integers(0, 10, count)
