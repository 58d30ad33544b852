"""Of what shape must one input be? Asked of the layers, and for a convolution tried on square images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import require
from .layers import ShapeError

if TYPE_CHECKING:  # network.py looks at this file
    from .network import Network

LARGEST_IMAGE = 512  # the sizes tried when no input shape is given


def infer(net: Network) -> tuple | None:
    """The first shape that a layer fixes; None, once checked, where square images of some size fit."""
    fixed = (layer.input_shape() for layer in net.layers.values())
    wanted = next((shape for shape in fixed if shape is not None), None)
    if wanted is None or None not in wanted:
        return wanted
    if wanted[-1] is None and len(wanted) > 1:
        raise require.InputError("Network needs the input shape before a pooling layer: "
                                 "Network((H, W, C), ...)")
    names, deepest = list(net.layers), None
    for size in range(1, LARGEST_IMAGE + 1):
        try:
            net.shapes(tuple(size if s is None else s for s in wanted))
            return None
        except ShapeError as error:
            # The smallest images fail for being small; the error at the deepest layer is the one to mend.
            if deepest is None or names.index(error.layer) > names.index(deepest.layer):
                deepest = error
    raise require.InputError(f"{deepest.wanted}, which no square image of up to {LARGEST_IMAGE} pixels "
                             "gives; for other images give the input shape first: "
                             "Network((H, W, C), ...)")
