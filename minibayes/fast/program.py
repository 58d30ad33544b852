"""f(x, omega), fast: a network whose convolutions and chains of dense layers run as one stage each.

Program is a drop-in for Network, in training steps and in predictions: same signatures, same results up to
rounding (tested against the plain layers). What is different, each measured to be faster than what it
replaces:
- a convolution, its bias, noise, pooling and ReLU or Tanh are one compiled call, block by block, and the
  response is not kept; a ReLU or Tanh before the pooling comes after it, which is the same. A chain of dense
  layers is one call too. Compiled code calls BLAS itself, so threads seldom meet at the interpreter's lock;
- dL/d(response) is non-zero at one place per pooling window and, of those, not where the unit was dropped or
  a ReLU is flat: it is kept as (value, argmax) and multiplied by row-sparse kernels. So is dL/df of a dense
  layer behind a ReLU. A dense product takes over where too little is zero;
- patches are unrolled along one axis only, or, with few channels, into one row per number of a patch;
- passes that have work in common share it (routes.py).

A layer of another class, a subclass too, or a convolution or a recurrent layer whose noise learns or is at
another place, runs as it is. Caches live in workspaces, one per thread, valid until that thread's next
forward; what else is returned is the caller's.
"""

import threading
from collections.abc import Callable, Iterable

import numpy as np

from .. import require
from ..nn.conv import Conv2d
from ..nn.key import Key, Rows
from ..nn.layers import Dense, Layer
from ..nn.network import Network
from ..nn.place import Inputs, Outputs, Place
from . import each_weight, local_stage, recurrent_stage, sweep
from .conv_stage import Conv, fits
from .each_weight import EachWeight
from .local_stage import LocalStage
from .routes import KernelRoute, SingleRoute, StageRoute
from .shared_route import SharedRoute
from .stages import RISES, DenseStack, Plain, Tree, Workspace, in_rows

DEPTH = 5  # dense layers of one compiled call at most: each number of them is compiled for itself


class Program(Network):
    """The network `net`, computed in stages; `passes` and `average` use `threads` threads (see parallel).

    Where noise on single weights is drawn as it is used, `draw` and `sample` give its counters in the place
    of the array (`each_weight.Undrawn`).
    """

    def __init__(self, net: Network, threads: int | None = None):
        super().__init__(net.input_shape, **net.layers)
        self.threads, self.stages = threads, stages_of(self)
        self._undrawn = {stage.name: stage for stage in self.stages if isinstance(stage, EachWeight)}
        self._local = [stage for stage in self.stages if isinstance(stage, LocalStage)]
        self._compiled = [(name, p, shape) for stage in self.stages for name in stage.compiled
                          for p, shape in self.layers[name].param_shapes().items()]
        self.first = next((stage for stage in self.stages if stage.name in self.param_shapes()), None)
        self._threads = threading.local()
        self._noise_shapes, self._draws = {}, {}
        self._route = KernelRoute.of(self.stages) or StageRoute(self, self.stages)
        self._shared_route = SharedRoute.of(self, self.stages) or SingleRoute.of(self, self.stages)

    def __reduce__(self):
        return Program, (Network(self.input_shape, **self.layers), self.threads)

    @property
    def work(self) -> Workspace:
        """This thread's."""
        if not hasattr(self._threads, "work"):
            self._threads.work = Workspace()
        return self._threads.work

    def route(self, shared: bool) -> StageRoute | KernelRoute:
        """The way to take for passes, each with one z for all inputs if shared."""
        return shared and self._shared_route or self._route

    def forward(self, params: Tree, x: np.ndarray, z: dict[str, np.ndarray]) -> tuple[np.ndarray, dict]:
        self._check_noise(x, z)
        params, x, work, caches = self.ready(params, x.dtype), in_rows(x), self.work, {}
        for stage in self.stages:
            x, caches[stage.name] = stage.forward(params, x, z, work)
        return x.copy(), caches

    def backward(self, params: Tree, caches: dict, df: np.ndarray, want_dx: bool = True,
                 dlaw: np.ndarray | None = None, out: Tree | None = None
                 ) -> tuple[np.ndarray | None, Tree]:
        """As Network.backward; `out` has arrays for the gradients to be written into, in any memory order."""
        given = out
        if given is not None and not all([given[name][p].flags.carray for name, p, _ in self._compiled]):
            out = None
        work, grads, dx = self.work, {}, in_rows(df)
        for stage in reversed(self.stages):
            last = stage is self.first and not want_dx
            dx, more = stage.backward(params, caches[stage.name], dx, not last, work, out)
            grads |= more
            if last:
                break
            if dlaw is not None and stage.name == self.code:
                dx = dx + dlaw
        if out is not given:
            for name, group in grads.items():
                for p in group.keys() - {"z"}:
                    given[name][p][...] = group[p]
                    group[p] = given[name][p]
        return dx.copy() if want_dx else None, grads

    def law(self, caches: dict) -> tuple[np.ndarray, np.ndarray]:
        (cache, *_) = caches[self.code]
        return self.layers[self.code].law(cache[0])

    def passes(self, params: Tree, x: np.ndarray, key: Key, count: int, gather: Callable,
               shared: bool = False, first: int | None = None) -> Iterable[tuple[slice, object]]:
        """(inputs, summary of some of `count` passes there), in order: see sweep.passes."""
        return sweep.passes(self, params, x, key, count, gather, shared, first)

    def average(self, params: Tree, x: np.ndarray, gather: Callable, pooled: dict[str, str] | None = None,
                grouped: bool = True) -> Iterable[tuple[slice, object]]:
        """(inputs, summary of f with z = E[z] there), in order: see sweep.average."""
        return sweep.average(self, params, x, gather, pooled or {})

    def group(self, input_shape: tuple, shared: bool = False, mean: bool = False) -> int:
        return sweep.SHARD if mean else self.route(shared).inputs_at_once(input_shape)

    def ready(self, params: Tree, dtype: np.dtype) -> Tree:
        """params as compiled code takes them, which looks at nothing: shapes, one dtype, row after row."""
        copies = {}
        for name, p, shape in self._compiled:
            array = params[name][p]
            if array.shape != shape or array.dtype != dtype:
                raise require.InputError(f"params[{name!r}][{p!r}] must be {shape} of {dtype}, like x, "
                                         f"got {array.shape} of {array.dtype}")
            if not array.flags.carray:
                copies.setdefault(name, dict(params[name]))[p] = in_rows(array)
        return dict(params) | copies if copies else params

    def settled(self, params: Tree) -> Tree:
        """params with what is worked out from them alone, for many inputs or passes."""
        if not self._local:
            return params
        return local_stage.Settled(params, {stage.name: stage.law(params) for stage in self._local})

    def draw_rows(self, key: Key, input_shape: tuple, rows: Rows, shared: bool = False) -> dict:
        """As Network.draw_rows; what depends on the shape alone is worked out once for each."""
        if (input_shape, shared) not in self._draws:
            shapes, draws = self.shapes(input_shape), []
            for name in self.noisy:
                layer = self.layers[name]
                draw = layer.place.draw
                if name in self._undrawn and not shared:  # one omega for all is one matrix: BLAS's
                    draw = self._undrawn[name].draw
                draws.append((name, layer.noise, draw, layer.noise_shape(shapes[name][0], shared)))
            self._draws[input_shape, shared] = draws
        return {name: draw(noise, key.of(name), (len(rows), *shape), rows)
                for name, noise, draw, shape in self._draws[input_shape, shared]}

    def _check_noise(self, x, z):
        """Network's check of z where it is not what `draw` gives."""
        if x.shape not in self._noise_shapes:
            shapes = self.shapes(x.shape[1:])
            self._noise_shapes[x.shape] = {name: (len(x), *self.layers[name].noise_shape(shapes[name][0]))
                                           for name in self.noisy}
        if {name: a.shape for name, a in z.items()} != self._noise_shapes[x.shape]:
            self._check(x, z)


def stages_of(net: Network) -> list[Plain]:
    """The layers of a network in stages."""
    stages, names = [], list(net.layers)
    while names:
        name = names.pop(0)
        layer, last = net.layers[name], stages[-1] if stages else None
        if type(layer) is Conv2d and usual(layer, Outputs):
            pool, rise = after_a_convolution([net.layers[after] for after in names[:2]])
            del names[:(pool is not None) + (rise is not None)]
            stages.append(Conv(name, layer, pool, rise))
        elif each_weight.fits(layer):
            stages.append(EachWeight(name, layer))
        elif local_stage.fits(layer):
            stages.append(LocalStage(name, layer))
        elif recurrent_stage.fits(layer):
            stages.append(recurrent_stage.RecurrentStage(name, layer))
        elif type(layer) is Dense and (not layer.noisy or type(layer.place) is Inputs):
            room = isinstance(last, DenseStack) and len(last.layers) < DEPTH
            if room and name not in net.noisy[:1] and not layer.noise.learned:
                last.append(name, layer)
            else:  # the first noise begins a stage, too, and so does noise that learns
                stages.append(DenseStack(name, layer))
        elif not (isinstance(last, (DenseStack, LocalStage)) and last.takes(layer)):
            stages.append(Plain(name, layer))
    return stages


def after_a_convolution(layers: list[Layer]) -> tuple[Layer | None, Layer | None]:
    """(pooling, function r) that the next two layers are, in either order: r(max_i y_i) = max_i r(y_i)."""
    pool = rise = None
    for layer in layers:
        if pool is None and fits(layer):
            pool = layer
        elif rise is None and type(layer) in RISES:
            rise = layer
        else:
            break
    return pool, rise


def usual(layer: Layer, place: type[Place]) -> bool:
    """Whether a layer has no noise, or noise without parameters at `place`: what stages are made for."""
    return not layer.noisy or type(layer.place) is place and not layer.noise.learned
