"""p(W_i) = N(0, l^-2 I): the poster's prior, with lengthscale l (l = 1 on the poster)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .. import require


@dataclass(frozen=True)
class Prior:
    """Every weight and bias ~ N(0, l^-2), independently. lengthscale: one l > 0, or {layer name: l} for all layers with weights."""

    lengthscale: float | Mapping = 1.0

    def __post_init__(self):
        if isinstance(self.lengthscale, Mapping):
            for name, value in self.lengthscale.items():
                require.real(f"lengthscale[{name!r}]", value, 0, open_low=True)
        else:
            require.real("lengthscale", self.lengthscale, 0, open_low=True)

    def of(self, layer):
        """l of one layer."""
        if not isinstance(self.lengthscale, Mapping):
            return float(self.lengthscale)
        if layer not in self.lengthscale:
            raise require.InputError(f"lengthscale has no value for layer {layer!r}, only for {list(self.lengthscale)}")
        return float(self.lengthscale[layer])

    def sample(self, net, rng, dtype=np.float32):
        """omega ~ p(omega) in the shapes of net's parameters: run it with all noise at 1 to draw a function from the prior."""
        rng = np.random.default_rng(rng)
        return {layer: {param: (rng.standard_normal(array.shape) / self.of(layer)).astype(dtype)
                        for param, array in group.items()} for layer, group in net.init(0, dtype).items()}
