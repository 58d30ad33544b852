"""A Bayesian neural network: f(x, omega), p(omega) and p(y | f), with q_theta(omega) = its noise; fit, predict, save, load."""

from collections.abc import Mapping

import numpy as np

from . import require, storage, training
from .bayes import Categorical, Objective, Prior, kl
from .bayes.likelihood import check_likelihood
from .bayes.predictive import predict
from .bayes.prior import check_prior
from .fast import compare
from .fast.program import Program
from .nn import SGD, Key
from .nn.network import check_network
from .nn.optimizers import check_optimizer
from .progress import bar


class BayesianNetwork:
    """BayesianNetwork(net, prior=Prior(1.0), likelihood=Categorical()): an nn.Network read through Bayesian eyes.

    `params` is None until `fit` or `load`; `history` is the list that the last fit returned.
    """

    def __init__(self, net, prior=None, likelihood=None, params=None):
        self.net = check_network(net)
        self.prior = Prior() if prior is None else check_prior(prior)
        self.likelihood = Categorical() if likelihood is None else check_likelihood(likelihood)
        self._shapes, self.history = net.param_shapes(), []
        if not self._shapes:
            raise require.InputError("net must have a layer with weights")
        for name in self._shapes:
            self.prior.check(name)
        self.params = None if params is None else self._checked("params", params)

    def __repr__(self):
        return f"BayesianNetwork({self.net!r}, prior={self.prior!r}, likelihood={self.likelihood!r})"

    def fit(self, x, y, *, epochs=10, steps=None, batch_size=64, optimizer=None, seed=0, params=None, dtype=np.float32,
            validation=None, validation_samples=10, report_every=None, on_report=None, progress=False, checkpoint=None,
            checkpoint_every=None, resume=True, threads=None, plain=False):
        """Minimise L-hat(theta)/N over minibatches, one fresh omega-hat per step and example; returns the history.

        x (N, ...) and y: (N,) integer labels, or real (N,) or (N, K). Each call starts anew from `seed`, or from `params`.
        steps: minibatch steps instead of epochs.  optimizer: nn.SGD or nn.Adam, acting on M (not on keep * M);
        SGD(0.01, momentum=0.9) by default.  dtype: float32, or float64 to check.
        report_every: steps between rows of the history, one epoch by default.
        validation: (x, y) evaluated for each row by weight averaging and by MC with validation_samples passes.
        on_report(model, row): called for each row with a model of its own; a dict that it returns joins the row.
        checkpoint: a file written with each row (and every checkpoint_every steps). If it exists the run goes on from it, bit for bit
        as if it had not stopped, after a check that settings and data are the same; resume=False overwrites it instead.
        threads: by default all processors, or MINIBAYES_THREADS; the result does not depend on it.

        history: one dict per row: epoch, step, loss (mean L-hat/N since the last row, without its constant, nats), nll (nats per
        datum), seconds of training, and what validation and on_report add. DivergenceError if the loss leaves the finite numbers.
        """
        try:
            name = np.dtype(dtype).name
        except TypeError:
            name = dtype
        dtype = np.dtype(require.choice("dtype", name, storage.DTYPES))
        x, y = self._data("x", x, "y", y, dtype)
        batch_size = require.integer("batch_size", batch_size, 1)
        seed = require.integer("seed", seed, 0, 2**64 - 1)
        validation_samples = require.integer("validation_samples", validation_samples, 1)
        for name, value in (("checkpoint_every", checkpoint_every), ("report_every", report_every)):
            if value is not None:
                require.integer(name, value, 1)
        optimizer = SGD(0.01, momentum=0.9) if optimizer is None else optimizer
        check_optimizer(optimizer)
        per_epoch = -(-len(x) // min(batch_size, len(x)))
        last_step = (require.integer("steps", steps, 1) if steps is not None
                     else max(1, round(require.real("epochs", epochs, 0, 1e6, open_low=True) * per_epoch)))
        if validation is not None:
            if not isinstance(validation, (tuple, list)) or len(validation) != 2:
                raise require.InputError(f"validation must be a pair (x, y), got {type(validation).__name__}")
            validation = self._data("validation x", validation[0], "validation y", validation[1], dtype)
        start = self.net.init(seed, dtype) if params is None else self._checked("params", params, dtype)

        def evaluate(parameters, row):
            snapshot = BayesianNetwork(self.net, self.prior, self.likelihood, parameters)
            added = {}
            if validation is not None:
                passes = validation_samples if self.net.noisy else 1
                added["validation"] = {rule: snapshot._score(*validation, rule, passes, seed, threads)
                                       for rule in ("weight-averaging", "mc")}
            extra = on_report(snapshot, row | added) if on_report else None
            if not isinstance(extra, (dict, type(None))):
                raise require.InputError(f"on_report must return a dict or None, got {extra!r}")
            return added | (extra or {})

        state = training.fit(
            self, x, y, start, last_step=last_step, batch_size=batch_size, optimizer=optimizer,
            objective=Objective(self.net, self.prior, self.likelihood, len(x)), seed=seed, report_every=report_every, evaluate=evaluate,
            progress=progress, checkpoint=checkpoint, checkpoint_every=checkpoint_every, resume=resume, threads=threads,
            plain=require.boolean("plain", plain))
        self.params, self.history = state.params, state.history
        return self.history

    def predict(self, x, *, samples=50, rule="mc", seed=0, shared=False, keep_samples=False, threads=None, progress=False,
                tolerance=0.01, max_samples=10_000, plain=False):
        """The predictive distribution at x (N, ...): see bayes.prediction for what it holds.

        rule: "mc", the average of `samples` stochastic passes, or the deterministic "weight-averaging" or "probabilistic-pooling".
        samples="auto": as many as it takes for Monte Carlo standard errors of the mean of at most `tolerance`, but at most `max_samples`.
        shared=True: one omega-hat per pass for all inputs (a draw of a function). keep_samples=True: keep every pass's outputs.
        A ZeroVarianceWarning says that all passes were the same.
        """
        self._require_params()
        x = self._inputs("x", x, self.dtype)
        key = Key(require.integer("seed", seed, 0, 2**64 - 1)).derive("predict")
        known = not isinstance(samples, str)
        total = len(x) * (require.integer("samples", samples, 1) if known else 1) if rule == "mc" else len(x)

        def by(runner, progress=None):
            return predict(runner, self.params, self.likelihood, x, rule=rule, samples=samples, key=key, shared=shared,
                           keep_samples=keep_samples, progress=progress, tolerance=tolerance, max_samples=max_samples)

        with bar(progress, total if known else None, "predict", " passes x inputs") as progress_bar:
            made = by(self.net if plain else Program(self.net, threads), progress_bar.update)
        if compare.wanted() and not plain and known:
            compare.same("the prediction's mean", made.mean, by(self.net).mean, x.dtype)
        return made

    def kl(self):
        """KL(q || p) in nats, up to the constant `bayes.kl.CONSTANT`."""
        self._require_params()
        return kl.value(self.net, self.params, self.prior)

    def save(self, path):
        """Write the model to an .npz file, whole or not at all."""
        self._require_params()
        storage.write(path, storage.model_header(self, self.params), storage.flatten("params", self.params))

    def _require_params(self):
        if self.params is None:
            raise require.InputError("model has no parameters yet: call fit, or mb.load a file")

    @property
    def dtype(self):
        """float32 or float64, that of the parameters."""
        self._require_params()
        return next(iter(next(iter(self.params.values())).values())).dtype

    def _score(self, x, y, rule, samples, seed, threads):
        return self.predict(x, rule=rule, samples=samples, seed=seed, threads=threads).score(y)

    def _inputs(self, name, x, dtype):
        x = require.inputs(name, x, dtype, self.net.input_shape)
        self.net.shapes(x.shape[1:])
        return x

    def _data(self, x_name, x, y_name, y, dtype):
        x = self._inputs(x_name, x, dtype)
        shape = self.net.output_shape(x.shape[1:])
        if len(shape) != 1:
            raise require.InputError(f"net must end in one row of outputs per example (Flatten, then Dense), it gives {shape}")
        return x, self.likelihood.targets(y_name, y, len(x), shape[0])

    def _checked(self, name, params, dtype=None):
        """Private copies of `params`, if they have this network's layers and shapes and are finite."""
        if not isinstance(params, Mapping) or not all(isinstance(group, Mapping) for group in params.values()):
            raise require.InputError(f"{name} must be {{layer: {{param: array}}}}, got {params!r}")
        arrays = {layer: {p: require.array(f"{name}[{layer!r}][{p!r}]", a) for p, a in group.items()} for layer, group in params.items()}
        given = {layer: {p: a.shape for p, a in group.items()} for layer, group in arrays.items()}
        if given != self._shapes:
            raise require.InputError(f"{name} must have the shapes {self._shapes}, got {given}")
        if dtype is None:
            dtype = np.float64 if any(a.dtype == np.float64 for group in arrays.values() for a in group.values()) else np.float32
        return {layer: {p: require.finite(f"{name}[{layer!r}][{p!r}]", np.array(a, dtype, order="C")) for p, a in group.items()}
                for layer, group in arrays.items()}


def load(path):
    """The BayesianNetwork that `save` (or a checkpoint) wrote to `path`. A file that is not one gives one error, and runs nothing."""
    return BayesianNetwork(*storage.read_model(path))
