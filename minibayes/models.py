"""The architectures that studies, benchmarks and notebooks share: the poster's LeNet, and a multi-layer perceptron."""

from . import nn, require

VARIANTS = ("none", "ip", "all")


def lenet(variant="all", noise=None, noise_per="patch", init_scheme="xavier"):
    """LeNet 20-50-500-10 of the poster (arXiv 1506.02158): for images (28, 28, 1); no non-linearity after the convolutions.

    variant: "none" has no noise; "ip" before the last inner product only; "all" after both convolutions too.
    noise: nn.Bernoulli(0.5) by default.
    """
    require.choice("variant", variant, VARIANTS)
    noise = nn.Bernoulli(0.5) if noise is None else noise
    inner = nn.Delta() if variant == "none" else noise
    conv = {"noise": noise if variant == "all" else nn.Delta(), "noise_per": noise_per, "init_scheme": init_scheme}
    return nn.Network(
        (28, 28, 1),
        conv1=nn.Conv2d(1, 20, 5, **conv), pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(20, 50, 5, **conv), pool2=nn.MaxPool2d(2),
        flat=nn.Flatten(),
        fc1=nn.Dense(800, 500, init_scheme=init_scheme), relu1=nn.ReLU(),
        fc2=nn.Dense(500, 10, noise=inner, init_scheme=init_scheme),
    )


def mlp(sizes, noise=None, activation="relu", input_noise=None, init_scheme="xavier"):
    """A perceptron sizes[0]-...-sizes[-1], with `noise` before every layer but the first and `input_noise` before that.

    noise: nn.Bernoulli(0.5) by default; input_noise: none by default.  activation: "relu" or "tanh".
    """
    if len(sizes) < 2:
        raise require.InputError(f"sizes must name at least inputs and outputs, got {sizes!r}")
    require.choice("activation", activation, ("relu", "tanh"))
    noise = nn.Bernoulli(0.5) if noise is None else noise
    layers = {}
    for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:], strict=False), start=1):
        before = noise if i > 1 else input_noise or nn.Delta()
        layers[f"fc{i}"] = nn.Dense(n_in, n_out, noise=before, init_scheme=init_scheme)
        if i < len(sizes) - 1:
            layers[f"{activation}{i}"] = nn.ReLU() if activation == "relu" else nn.Tanh()
    return nn.Network(**layers)
