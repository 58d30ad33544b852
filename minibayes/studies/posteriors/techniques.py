"""q = noise, place and prior: each a row of the study, with the settings that a user would take.

One network for all, 784-800-800-10 with ReLU, as in McClure and Kriegeskorte (arXiv 1611.01639). Dropout
keeps half of the hidden units and four fifths of the pixels (Srivastava et al. 2014); Gaussian noise has the
variance that matches it, (1 - keep)/keep: 1 and 1/4. On weights keep is 1/2 in every layer. Where the KL of
additive noise is counted, its share grows from nothing to the whole over the first half of the training
(`fit(kl_factor=)`), or most weights drown in noise before they have learned anything.
"""

from typing import NamedTuple

from ... import bayes, nn

SIZES = (784, 800, 800, 10)
LENGTHSCALE = 1.0
NARROW = 20.0  # of mean field: 1/l = 0.05 is about the size of the weights; 1 costs it 6 nats more a weight
# Seconds on two cores at the SIZES: a step of 128 images, and a pass over the 10,000 test images.
PLAIN_STEP, PLAIN_PASS = 0.018, 0.25


class Technique(NamedTuple):
    """One q and how it is trained.

    warm_up: whether the KL is counted in part for the first half of the training.
    cost: of a step and of a pass, over those without noise.
    published: test error in % by (weight averaging, MC) and the latter's ±, of the same network: McClure and
               Kriegeskorte's table; () where there is none.
    """

    title: str
    hidden: nn.Noise
    inputs: nn.Noise | None = None
    place: nn.Place | None = None
    prior: bayes.Prior = bayes.Prior(LENGTHSCALE)
    warm_up: bool = False
    cost: tuple[float, float] = (1.3, 2.0)
    published: tuple = ()

    @property
    def random(self) -> bool:
        return self.hidden.random

    def network(self, sizes: tuple = SIZES) -> nn.Network:
        """The perceptron with this noise before every layer, or on every weight."""
        layers = {}
        for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:], strict=False), start=1):
            noise = self.inputs if i == 1 and self.inputs is not None else self.hidden
            layers[f"fc{i}"] = nn.Dense(n_in, n_out, noise=noise, place=self.place)
            if i < len(sizes) - 1:
                layers[f"relu{i}"] = nn.ReLU()
        return nn.Network(**layers)

    def kl_factor(self, steps: int):
        """For `fit`: 1, or what grows to it in half of the steps."""
        half = max(1, steps // 2)
        return (lambda step: min((step + 1) / half, 1.0)) if self.warm_up else 1.0


half, most = nn.Bernoulli(0.5), nn.Bernoulli(0.8)
one, quarter = nn.Gaussian(1.0), nn.Gaussian(0.25)
decay = bayes.WeightDecay(LENGTHSCALE)
TECHNIQUES = {
    "none": Technique("no noise", nn.Delta(), cost=(1, 1), published=(1.68, None, None)),
    "dropout": Technique("Bernoulli dropout", half, most, published=(1.45, 1.42, 0.03)),
    "mgn": Technique("MGN, its KL", one, quarter),
    "gaussian-dropout": Technique("Gaussian dropout (weight decay)", one, quarter, prior=decay,
                                  published=(1.36, 1.37, 0.03)),
    "dropconnect": Technique("Bernoulli DropConnect", half, place=nn.Weights(), cost=(7, 22),
                             published=(1.33, 1.30, 0.04)),
    "gaussian-dropconnect": Technique("Gaussian DropConnect (weight decay)", one, place=nn.Local(),
                                      prior=decay, cost=(3.5, 4), published=(1.24, 1.27, 0.03)),
    "spike-and-slab": Technique("spike and slab", nn.Times(half, nn.Gaussian(0.3)),
                                nn.Times(most, nn.Gaussian(0.1))),
    "variational": Technique("variational dropout", nn.LearnedGaussian(0.5, per="unit"),
                             nn.LearnedGaussian(0.25, per="unit"), prior=bayes.LogUniform()),
    "concrete": Technique("concrete dropout", nn.Concrete(0.5), nn.Concrete(0.8), cost=(1.6, 4)),
    "mean-field": Technique("mean field", nn.MeanField(0.01), prior=bayes.Prior(NARROW), warm_up=True,
                            cost=(4.5, 5)),
    "sparse": Technique("sparse variational dropout", nn.MeanField(0.01), prior=bayes.LogUniform(),
                        warm_up=True, cost=(6, 5)),
}


def seconds(names: tuple, steps: int, passes: float, step: float = PLAIN_STEP,
            whole_pass: float = PLAIN_PASS) -> float:
    """What the networks `names` take: `steps` each, and so many `passes` over 10,000 images where random."""
    costs = [(TECHNIQUES[name].cost, TECHNIQUES[name].random) for name in names]
    return sum(a * step * steps + b * whole_pass * (passes if random else 1) for (a, b), random in costs)
