"""f(x, omega) from where the sequences were left, in stages: the twin of nn/carry.py."""

import numpy as np

from ..floats import usual
from .program import Program
from .stages import Tree, in_rows


@usual
def forward(program: Program, params: Tree, x: np.ndarray, z: dict[str, np.ndarray],
            states: dict[str, np.ndarray] | None = None) -> tuple[np.ndarray, dict, dict]:
    """(f, caches, states): as `nn.carry.forward`, up to rounding; `program.backward` takes the caches.

    The states are the caller's; the caches are, as after `program.forward`, valid until this thread's next.
    """
    params, x, work = program.ready(params, x.dtype), in_rows(x), program.work
    states, caches = dict(states or {}), {}
    for stage in program.stages:
        if stage.layer.carries:
            x, caches[stage.name] = stage.forward(params, x, z, work, states.get(stage.name))
            states[stage.name] = stage.last_state(caches[stage.name])
        else:
            x, caches[stage.name] = stage.forward(params, x, z, work)
    return x.copy(), caches, states
