"""p(y | x) from a table: what Regressor and Classifier share. fit chooses keep, and stops early; save."""

import inspect
from collections.abc import Sequence
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike

from .. import bayes, nn, require
from ..bayes.prediction import Prediction
from ..bayes.weighted import check_weights
from ..model import BayesianNetwork
from . import files, protocol, rows
from .columns import Columns

KEEPS = (0.995, 0.99, 0.95, 0.9)  # the published grid
LENGTHSCALE = 0.1  # of the prior N(0, l^-2): weights of standardised columns are seldom beyond 10
VALIDATION_SAMPLES = 30
STEPS = 50  # between two looks at the held-out rows, at least


class Estimator:
    """What both share. A fit is a function of the set of rows and the settings: of no order, no thread count.

    n_features_in_     columns of X
    feature_names_in_  their names, where they have any
    network_           the BayesianNetwork, in standard units and float64
    columns_           how the columns become its inputs
    history_           of its training
    n_iter_            epochs until the parameters that were kept
    keep_              P(z = 1) before each layer: chosen, learned or given
    target_name_       of y, if it has a name as pandas' columns do
    """

    kind = ""

    def __repr__(self) -> str:
        defaults = {name: p.default for name, p in inspect.signature(type(self)).parameters.items()}
        said = (f"{name}={value!r}" for name, value in self.get_params().items() if value != defaults[name])
        return f"{type(self).__name__}({', '.join(said)})"

    def __sklearn_tags__(self) -> object:
        return protocol.tags(self.kind)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def get_params(self, deep: bool = True) -> dict:
        """{name: value} of the settings, as they were given."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **settings) -> "Estimator":
        """Change settings by name; the next fit uses them."""
        known = self.get_params()
        for name, value in settings.items():
            if name not in known:
                raise require.InputError(f"{type(self).__name__} has no parameter {name!r}, it has "
                                         f"{', '.join(known)}")
            setattr(self, name, value)
        return self

    def checked(self) -> dict:
        """The settings, or an error that names the one that cannot be used: before any work."""
        if not isinstance(self.hidden, Sequence) or isinstance(self.hidden, str):
            raise require.InputError(f"hidden must be a tuple of sizes such as (50,), got {self.hidden!r}")
        keep = self.keep
        if isinstance(keep, str):
            keep = require.choice("keep", keep, ("learned", "grid"))
        else:
            keep = require.real("keep", keep, 0, 1, open_low=True)
        return {
            "hidden": tuple(require.integer("hidden", size, 1) for size in self.hidden), "keep": keep,
            "activation": require.choice("activation", self.activation, ("relu", "tanh")),
            "epochs": require.real("epochs", self.epochs, 0, 1e6, open_low=True),
            "patience": require.integer("patience", self.patience, 1),
            "batch_size": require.integer("batch_size", self.batch_size, 1),
            "rate": require.real("rate", self.rate, 0, open_low=True),
            "held_out": require.real("held_out", self.held_out, 0, 0.9),
            "samples": require.integer("samples", self.samples, 1),
            "seed": require.integer("seed", self.seed, 0, 2**64 - 1)}

    def network(self, inputs: int, outputs: int, noise: nn.Noise) -> nn.Network:
        """A perceptron with noise before every layer, the first too."""
        settings, layers = self.checked(), {}
        sizes = [inputs, *settings["hidden"], outputs]
        for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:], strict=False), start=1):
            layers[f"fc{i}"] = nn.Dense(n_in, n_out, noise=noise, init_scheme="he")
            if i < len(sizes) - 1:
                layers[f"a{i}"] = nn.ReLU() if settings["activation"] == "relu" else nn.Tanh()
        return nn.Network(**layers)

    def prepared(self, X: object, sample_weight: ArrayLike | None, y: np.ndarray, codes: np.ndarray) -> tuple:
        """(columns, inputs, targets, weights) of the different rows."""
        columns, raw = Columns.learned(X)
        if len(raw) != len(y):
            raise require.InputError(f"y must have a value for each of the {len(raw)} rows of X, "
                                     f"got {len(y)}")
        weights = np.ones(len(raw))
        if sample_weight is not None:
            weights = check_weights("sample_weight", sample_weight, len(raw))
        weights = weights * self.class_weights(codes, weights)
        which, weights = rows.distinct(raw, codes, weights)
        if len(which) < 2:
            raise require.InputError("X must have at least 2 different rows, got n_samples = 1 that counts")
        columns = columns.standardised(raw[which], weights)
        return columns, columns.scaled(raw[which]), codes[which], weights

    def class_weights(self, codes: np.ndarray, weights: np.ndarray) -> np.ndarray | float:
        """What the weights are multiplied by."""
        return 1.0

    def noises(self) -> list:
        """The noise of each network that is tried."""
        keep = self.checked()["keep"]
        if keep == "learned":
            return [nn.Concrete(0.9)]
        keeps = KEEPS if keep == "grid" else [keep]
        return [nn.Delta() if one == 1 else nn.Bernoulli(one) for one in keeps]

    def train(self, columns: Columns, x: np.ndarray, y: np.ndarray, weights: np.ndarray,
              outputs: int) -> None:
        """Fit a network for each keep that is tried; the one with the least held-out nll is kept."""
        settings = self.checked()
        fitted, held = rows.divided(y, settings["held_out"], settings["seed"], self.kind == "classifier")
        whole = None if (weights == 1).all() else weights               # most often no row counts twice
        options = {"epochs": settings["epochs"], "batch_size": settings["batch_size"],
                   "optimizer": nn.Adam(settings["rate"]), "seed": settings["seed"], "threads": self.threads,
                   "progress": require.boolean("progress", self.progress),
                   "report_every": max(-(-len(fitted) // settings["batch_size"]), STEPS)}
        if whole is not None:
            options["weights"] = whole[fitted]
        if len(held):
            counted = [] if whole is None else [whole[held]]
            options |= {"validation": (x[held], y[held], *counted), "patience": settings["patience"],
                        "validation_samples": VALIDATION_SAMPLES}
        best = None
        for noise in self.noises():
            net = self.network(x.shape[1], outputs, noise)
            model = BayesianNetwork(net, bayes.Prior(LENGTHSCALE), self.likelihood())
            history = model.fit(x[fitted], y[fitted], **options)
            scores = [row["validation"]["mc"]["nll"] if len(held) else row["loss"] for row in history]
            at = int(np.argmin(scores)) if len(held) else -1
            if best is None or scores[at] < best[0]:
                best = scores[at], model, history, history[at]["epoch"]
        _, model, self.history_, self.n_iter_ = best
        self.settle(columns, model)

    def settle(self, columns: Columns, model: BayesianNetwork) -> None:
        """The fitted attributes, of a fit or of a file."""
        params = {layer: {p: a.astype(np.float64) for p, a in group.items()}
                  for layer, group in model.params.items()}
        self.network_ = BayesianNetwork(model.net.hard(), model.prior, model.likelihood, params)
        self.columns_, self.n_features_in_ = columns, len(columns.columns)
        self.__dict__.pop("feature_names_in_", None)
        if columns.names is not None and all(isinstance(name, str) for name in columns.names):
            self.feature_names_in_ = np.array(columns.names, object)
        self.keep_ = {name: float(np.mean(layer.noise.moments(layer.phi(params[name]))[0]))
                      for name, layer in self.network_.net.layers.items() if layer.param_shapes()
                      and layer.noisy_params}

    def predicted(self, X: object) -> Prediction:
        """What `network_` predicts. A pass is one function: no row's prediction depends on its neighbours."""
        if not self.__sklearn_is_fitted__():
            raise protocol.not_fitted(type(self).__name__)
        settings, x = self.checked(), self.columns_.encoded(X, type(self).__name__)
        noisy = bool(self.network_.net.noisy)
        rule = "mc" if noisy else "weight-averaging"
        return self.network_.predict(x, samples=settings["samples"], rule=rule, seed=settings["seed"],
                                     shared=noisy, threads=self.threads)

    def save(self, path: str | PathLike) -> None:
        """Write the estimator to one .npz file, which `mb.load` reads: data alone, whole or not at all."""
        if not self.__sklearn_is_fitted__():
            raise protocol.not_fitted(type(self).__name__)
        files.save(self, path)


def named(y: object) -> str | None:
    """The name of a column of pandas and the like."""
    name = getattr(y, "name", None)
    return name if isinstance(name, str) else None
