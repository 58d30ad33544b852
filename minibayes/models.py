"""Architectures that studies, benchmarks and notebooks share: the poster's LeNet, and a perceptron."""

from collections.abc import Sequence

from . import nn, require

VARIANTS = ("none", "ip", "all")


def lenet(variant: str = "all", noise: nn.Noise | None = None, noise_per: str = "patch",
          init_scheme: str = "xavier") -> nn.Network:
    """LeNet 20-50-500-10 of the poster (arXiv 1506.02158), for images (28, 28, 1).

    There is no non-linearity after the convolutions.

    variant: "none" has no noise; "ip" before the last inner product only; "all" (by default) after both
             convolutions too.
    noise: nn.Bernoulli(0.5) by default.
    noise_per: of the convolutions, "patch" by default: see nn.Conv2d.
    init_scheme: of all weights, "xavier" by default.
    """
    variant = require.choice("variant", variant, VARIANTS)
    noise = nn.Bernoulli(0.5) if noise is None else noise
    inner = nn.Delta() if variant == "none" else noise
    outer = noise if variant == "all" else nn.Delta()
    conv = {"noise": outer, "noise_per": noise_per, "init_scheme": init_scheme}
    return nn.Network(
        (28, 28, 1),
        conv1=nn.Conv2d(1, 20, 5, **conv), pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(20, 50, 5, **conv), pool2=nn.MaxPool2d(2),
        flat=nn.Flatten(),
        fc1=nn.Dense(800, 500, init_scheme=init_scheme), relu1=nn.ReLU(),
        fc2=nn.Dense(500, 10, noise=inner, init_scheme=init_scheme),
    )


def mlp(sizes: Sequence, noise: nn.Noise | None = None, activation: str = "relu",
        input_noise: nn.Noise | None = None, init_scheme: str = "xavier") -> nn.Network:
    """A perceptron sizes[0]-...-sizes[-1], with noise before every layer.

    sizes: of the inputs, of each hidden layer, of the outputs.
    noise: before every layer but the first, nn.Bernoulli(0.5) by default.
    activation: "relu" (by default) or "tanh".
    input_noise: before the first layer; none by default.
    init_scheme: of all weights, "xavier" by default.
    """
    if len(sizes) < 2:
        raise require.InputError(f"sizes must name at least inputs and outputs, got {sizes!r}")
    activation = require.choice("activation", activation, ("relu", "tanh"))
    noise = nn.Bernoulli(0.5) if noise is None else noise
    layers = {}
    for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:], strict=False), start=1):
        before = noise if i > 1 else input_noise or nn.Delta()
        layers[f"fc{i}"] = nn.Dense(n_in, n_out, noise=before, init_scheme=init_scheme)
        if i < len(sizes) - 1:
            layers[f"{activation}{i}"] = nn.ReLU() if activation == "relu" else nn.Tanh()
    return nn.Network(**layers)
