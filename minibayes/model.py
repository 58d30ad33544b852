"""BayesianNetwork: f(x, omega), p(omega), p(y | f), q_theta(omega) = its noise; fit, predict, save, load.

Two ways lead to the same numbers, up to rounding. By default `fast` runs the network, its work divided among
threads. With plain=True, of `fit` and of `predict`, the layers of `nn` run themselves, one after another in
this thread: a breakpoint in Dense.backward is reached. With MINIBAYES_COMPARE=1 in the environment every step
and every prediction (with a number of samples) is done in both ways, and a difference beyond rounding is an
error.
"""

import copy
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import parameters, require, scale, storage, tables, training
from .bayes import Categorical, Likelihood, Objective, Prior, kl
from .bayes.likelihood import check_likelihood
from .bayes.prediction import Prediction
from .bayes.predictive import predict
from .bayes.prior import check_prior
from .bayes.warm_up import KLFactor
from .bayes.weighted import Weighted, check_weights, joined
from .fast import compare, parallel
from .fast.forks import Waited
from .fast.program import Program
from .floats import usual
from .nn import SGD, Key, Network, Optimizer
from .nn.network import check_network
from .nn.optimizers import check_optimizer
from .reports import Reports


class BayesianNetwork:
    """An nn.Network read through Bayesian eyes.

    net: f(x, omega), an nn.Network with weights; its noise is q_theta(omega).
    prior: p(omega), bayes.Prior(lengthscale=1.0) by default.
    likelihood: p(y | f), bayes.Categorical() by default.
    params: theta to predict with, {layer: {param: array}}; None by default, until `fit`.

    `history` is what the last fit returned.
    """

    def __init__(self, net: Network, prior: Prior | None = None, likelihood: Likelihood | None = None,
                 params: Mapping | None = None):
        self.net = check_network(net)
        self.prior = Prior() if prior is None else check_prior(prior)
        self.likelihood = Categorical() if likelihood is None else check_likelihood(likelihood)
        self._shapes, self.history = net.param_shapes(), []
        if not self._shapes:
            raise require.InputError("net must have a layer with weights")
        for name in self._shapes:
            self.prior.check(name)
        self.params = None if params is None else self._checked("params", params)

    def __repr__(self) -> str:
        return str(tables.model(self))

    def _repr_html_(self) -> str:
        return tables.model(self).html()

    @usual
    def fit(self, x: ArrayLike, y: ArrayLike, *, epochs: float = 10, steps: int | None = None,
            batch_size: int = 64, optimizer: Optimizer | None = None, seed: int = 0,
            params: Mapping | None = None, dtype: DTypeLike = np.float32, validation: tuple | None = None,
            validation_samples: int = 10, report_every: int | None = None, on_report: Callable | None = None,
            progress: bool = False, checkpoint: str | PathLike | None = None,
            checkpoint_every: int | None = None, resume: bool = True, threads: int | None = None,
            plain: bool = False, kl_factor: float | Callable = 1.0, weights: ArrayLike | None = None,
            patience: int | None = None, augment: Callable | None = None) -> list:
        """Minimise L-hat(theta)/N over minibatches, one fresh omega-hat per step and example; the history.

        x: inputs, (N, ...); of a network that begins with nn.Embedding, numbers of words (N, T), -1 for none.
        y: (N,) integer labels; (N, T), -1 for none, for outputs at each step; or real (N,) or (N, K).
        epochs: passes over the data, 10 by default; part of one is allowed.
        steps: minibatch steps, instead of epochs.
        batch_size: B examples a step, 64 by default; N where N is smaller.
        optimizer: nn.SGD or nn.Adam, acting on M (not on keep * M); SGD(0.01, momentum=0.9) by default.
        seed: of the initial parameters, the order of the examples and the noise; 0 by default.
        params: theta to start from, instead of the network's initial one.
        dtype: float32 by default, or float64 to check.
        validation: (x, y) or (x, y, weights), evaluated for each row of the history by both rules.
        validation_samples: passes of that MC, 10 by default.
        report_every: steps between rows of the history, one epoch by default.
        on_report: called with a model of its own and the row, for each row; a dict that it returns joins it,
                   and False ends the run there, with its parameters; resumed, it would go on.
        progress: whether to show a bar, or in a pipe a line a minute (progress.py); not by default.
        checkpoint: a file, written with each row. If it exists the run goes on from it, bit for bit as if it
                    had not stopped, after a check that settings and data are the same.
        checkpoint_every: steps after which it is written too; with each row only by default.
        resume: False overwrites the checkpoint instead.
        threads: all processors by default, or MINIBAYES_THREADS; the result does not depend on it.
        plain: the layers themselves run, one after another in this thread: see above; not by default.
        kl_factor: how much of the KL is counted: 1 by default; a number in (0, 1]; or, for a warm-up, a
                   function of the step, counted from 0, that gives one in [0, 1]. Below 1 what is minimised
                   is not the bound: rows of the history then say kl_factor (its least since the last row)
                   and bound (whether loss is of the bound). A resumed run must have the same.
        weights: (N,) >= 0, how often each input counts: 2 is the row twice. Loss and nll stay sums over N.
        patience: the run ends where the validation nll by MC has not fallen for so many rows of the history,
                  and the parameters are those of its least value; never by default.
        augment: (x, key, rows) -> x', changes the inputs of each step: key.of("name").uniform(shape, rows)
                 and .normal give numbers of their own to each example and epoch, on any number of threads.

        history: a dict per row: epoch, step, loss (mean L-hat/N since the last row, without its constant,
        nats), nll (nats per datum), seconds of training, and what validation and on_report add.
        What the data and the outputs say of a fit is a warning: `minibayes.cautions`.
        DivergenceError if the loss leaves the finite numbers. After any other error, a full disk or one in
        on_report, as after Ctrl-C, the model has the parameters of the last finished step.
        """
        try:
            name = np.dtype(dtype).name
        except TypeError:
            name = dtype
        dtype = np.dtype(require.choice("dtype", name, storage.DTYPES))
        given_x, given_y = x, y
        x, y = self._data("x", x, "y", y, dtype)
        batch_size = require.integer("batch_size", batch_size, 1)
        seed = require.integer("seed", seed, 0, 2**64 - 1)
        validation_samples = require.integer("validation_samples", validation_samples, 1)
        if checkpoint_every is not None:
            checkpoint_every = require.integer("checkpoint_every", checkpoint_every, 1)
        if report_every is not None:
            report_every = require.integer("report_every", report_every, 1)
        kl_factor = KLFactor(kl_factor)
        optimizer = SGD(0.01, momentum=0.9) if optimizer is None else optimizer
        check_optimizer(optimizer)
        per_epoch = -(-len(x) // min(batch_size, len(x)))
        last_step = (require.integer("steps", steps, 1) if steps is not None
                     else max(1, round(require.real("epochs", epochs, 0, 1e6, open_low=True) * per_epoch)))
        validation = None if validation is None else self._validation(validation, dtype)
        if patience is not None:
            patience = require.integer("patience", patience, 1)
            if validation is None:
                raise require.InputError("patience needs validation=(x, y), whose nll it waits for")
        if augment is not None and not callable(augment):
            raise require.InputError(f"augment must be a function (x, key, rows) -> x, got {augment!r}")
        likelihood, counted = self.likelihood, y
        if weights is not None:
            likelihood, counted = Weighted(likelihood), joined(y, check_weights("weights", weights, len(x)))
        start = self.net.init(seed, dtype) if params is None else self._checked("params", params, dtype)

        reports = Reports(self, validation, validation_samples, seed, threads, on_report)
        if not self.net.words:
            scale.check("x", given_x, x)
        if self.likelihood.normal:
            scale.check("y", given_y, y.astype(dtype))
        state = training.fit(
            self, x, counted, start, last_step=last_step, batch_size=batch_size, optimizer=optimizer,
            objective=Objective(self.net, self.prior, likelihood, len(x)), seed=seed,
            report_every=report_every, evaluate=reports, progress=progress, checkpoint=checkpoint,
            checkpoint_every=checkpoint_every, resume=resume, threads=threads,
            plain=require.boolean("plain", plain), kl_factor=kl_factor, patience=patience, augment=augment)
        params = state.params if state.best is None else copy.deepcopy(state.best)
        self.params, self.history = params, state.history
        runner = Waited(self.net) if plain else Program(self.net, 1)
        with parallel.single_threaded_blas():
            scale.check_end(runner, params, self.likelihood, x, y)
        return copy.deepcopy(self.history)

    @usual
    def predict(self, x: ArrayLike, *, samples: int | str = 50, rule: str = "mc", seed: int = 0,
                shared: bool = False, keep_samples: bool = False, threads: int | None = None,
                progress: bool = False, tolerance: float = 0.01, max_samples: int = 10_000,
                plain: bool = False, first: int | None = None) -> Prediction:
        """The predictive distribution at x: see bayes.prediction for what it holds.

        x: inputs, (N, ...).
        samples: T stochastic passes, 50 by default; "auto", as many as `tolerance` takes.
        rule: "mc" (by default), their average; or one deterministic pass, "weight-averaging" or
              "probabilistic-pooling".
        seed: of the noise, 0 by default.
        shared: one omega-hat per pass for all inputs (a draw of a function), instead of one for each.
        keep_samples: whether every pass's outputs are kept, (T, N, K); not by default.
        threads: all processors by default, or MINIBAYES_THREADS; the result does not depend on it.
        progress: whether to show a bar, or in a pipe a line a minute (progress.py); not by default.
        tolerance: of "auto", the largest Monte Carlo standard error of the mean (a probability, or in the
                   units of y); 0.01 by default.
        max_samples: of "auto", the most passes; 10,000 by default.
        plain: the layers themselves run, one after another in this thread: see above; not by default.
        first: the number of the first input, where x is one of several pieces: each input then has the noise
               of its own number, and results have the same bits however the pieces are cut, x[:n] with
               first=0, x[n:] with first=n, or all with first=0. Without it inputs are numbered from 0.

        What a prediction does not show of itself it says as a warning: `minibayes.cautions`.
        """
        self._require_params()
        x = self._inputs("x", x, self.dtype)
        key = Key(require.integer("seed", seed, 0, 2**64 - 1)).derive("predict")
        known = not isinstance(samples, str)
        total = len(x) * (require.integer("samples", samples, 1) if known else 1) if rule == "mc" else len(x)

        def by(runner, progress=None):
            return predict(runner, self.params, self.likelihood, x, rule=rule, samples=samples, key=key,
                           shared=shared, keep_samples=keep_samples, progress=progress,
                           tolerance=tolerance, max_samples=max_samples, first=first)

        from .progress import bar  # tqdm's own import takes longer than all of nn's

        with bar(progress, total if known else None, "predict", " passes x inputs") as progress_bar:
            with parallel.single_threaded_blas() if plain else nullcontext():  # as fast does
                made = by(Waited(self.net) if plain else Program(self.net, threads), progress_bar.update)
        if compare.wanted() and not plain and known:
            compare.same("the prediction's mean", made.mean, by(self.net).mean, x.dtype)
        return made

    @usual
    def kl(self) -> float:
        """KL(q || p) in nats, up to the constant `bayes.kl.CONSTANT`."""
        self._require_params()
        return kl.value(self.net, self.params, self.prior)

    def save(self, path: str | PathLike, *, compact: bool = False) -> None:
        """Write the model to an .npz file, whole or not at all; compact: the same numbers in fewer bytes."""
        params = self.in_order()
        storage.write(path, storage.model_header(self, params), storage.flatten("params", params),
                      require.boolean("compact", compact))

    def in_order(self) -> dict:
        """The parameters in the order of the network, as a file has them."""
        self._require_params()
        return {name: {p: self.params[name][p] for p in group} for name, group in self._shapes.items()}

    def _require_params(self):
        if self.params is None:
            raise require.InputError("model has no parameters yet: call fit, or mb.load a file")

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64, that of the parameters."""
        self._require_params()
        return next(iter(next(iter(self.params.values())).values())).dtype

    def _inputs(self, name, x, dtype):
        return self.net.inputs(name, x, dtype)

    def _data(self, x_name, x, y_name, y, dtype):
        x = self._inputs(x_name, x, dtype)
        shape = (len(x), *self.net.output_shape(x.shape[1:]))
        return x, self.likelihood.targets_for(y_name, y, shape)

    def _validation(self, given, dtype):
        """(x, y, weights or None), checked."""
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            raise require.InputError("validation must be a pair (x, y) or three with weights, got "
                                     f"{type(given).__name__}")
        x, y = self._data("validation x", given[0], "validation y", given[1], dtype)
        return x, y, check_weights("validation weights", given[2], len(x)) if len(given) == 3 else None

    def _checked(self, name, params, dtype=None):
        return parameters.checked(name, params, self._shapes, dtype)


def load(path: str | PathLike) -> BayesianNetwork:
    """The BayesianNetwork that `save`, or a checkpoint, wrote. Any other file: one error, nothing is run."""
    return BayesianNetwork(*storage.read_model(path))
