"""Bad input of every kind: one InputError, before any work, that names the argument, says what came and what is wanted."""

import re

import numpy as np
import pytest

import minibayes as mb
from minibayes import bayes, models, nn, training

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((12, 3)).astype(np.float32), np.arange(12) % 2
IMAGES, T = rng.random((12, 8, 8, 1)).astype(np.float32), rng.standard_normal((12, 2))
NET = models.mlp([3, 4, 2])
CONV = nn.Network((8, 8, 1), c=nn.Conv2d(1, 2, 3, noise=nn.Bernoulli(0.5)), p=nn.MaxPool2d(2), f=nn.Flatten(), d=nn.Dense(18, 2))
PARAMS, Z = NET.init(0), NET.sample(0, X.shape)


def model(net=NET, **parts):
    return mb.BayesianNetwork(net, **({"params": net.init(0)} | parts))


def regression(net=NET):
    return model(net, likelihood=bayes.Gaussian(1.0))


def with_entry(array, index, value):
    array = np.array(array, np.float64)
    array[index] = value
    return array


def fit(x=X, y=Y, net=NET, likelihood=None, **options):
    return lambda: mb.BayesianNetwork(net, likelihood=likelihood).fit(x, y, **options)


def predict(x=X, net=NET, **options):
    return lambda: model(net).predict(x, **options)


NAN, INF = float("nan"), float("inf")
LABELS = r"y must be labels in 0\.\.1 \(the network has 2 outputs\)"
CASES = {
    # ---- x
    "x NaN": (fit(with_entry(X, (4, 1), NAN)), r"x must be finite, got 1 NaN or infinite entries, the first at \[4, 1\]"),
    "x inf": (fit(with_entry(with_entry(X, (7, 0), -INF), (9, 2), NAN)), r"x must be finite, got 2 .* first at \[7, 0\]"),
    "x inf and -inf": (fit(with_entry(with_entry(X, (7, 0), -INF), (3, 2), INF)), r"x must be finite, got 2 .* first at \[3, 2\]"),
    "x too large for float32": (fit(with_entry(X, (2, 2), 1e300)), r"x must be finite.* first at \[2, 2\]"),
    "x image NaN": (predict(with_entry(IMAGES, (1, 2, 3, 0), NAN), CONV), r"x must be finite.* first at \[1, 2, 3, 0\]"),
    "x to predict NaN": (predict(with_entry(X, (0, 0), NAN)), r"x must be finite.*\[0, 0\]"),
    "x of another width": (fit(X[:, :2]), r"x must have shape \(N, 3\), got \(12, 2\)"),
    "x of another image size": (predict(IMAGES[:, :7], CONV), r"x must have shape \(N, 8, 8, 1\), got \(12, 7, 8, 1\)"),
    "x channels first": (predict(np.moveaxis(IMAGES, 3, 1), CONV), r"x must have shape \(N, 8, 8, 1\), got \(12, 1, 8, 8\)"),
    "x an image too few axes": (predict(IMAGES[..., 0], CONV), r"x must have shape \(N, 8, 8, 1\), got \(12, 8, 8\)"),
    "x 1-D": (fit(X[:, 0]), r"x must have shape \(N, \.\.\.\).*got \(12,\)"),
    "x a number": (fit(3.0), r"x must have shape \(N, \.\.\.\).*got \(\)"),
    "x empty": (fit(X[:0], Y[:0]), r"x must have shape \(N, \.\.\.\) with N >= 1 examples, got \(0, 3\)"),
    "x to predict empty": (predict(X[:0]), r"x must have shape .*N >= 1.*\(0, 3\)"),
    "x text": (fit(X.astype(str)), r"x must be an array of real numbers, got dtype <U"),
    "x complex": (fit(X.astype(complex)), r"x must be .*real numbers, got dtype complex128"),
    "x None": (fit(None), r"x must be an array of real numbers, got dtype object"),
    "x a dict": (fit({"a": X}), r"x must be an array of real numbers, got dtype object"),
    "x ragged": (fit([[1, 2, 3], [1, 2]]), r"x must be an array of numbers"),
    "x dates": (fit(np.zeros((12, 3), "datetime64[D]")), r"x must be .*got dtype datetime64"),
    # ---- y
    "y too large": (fit(y=Y + 1), LABELS + ", got values from 1 to 2"),
    "y negative": (fit(y=Y - 1), LABELS + ", got values from -1 to 0"),
    "y float": (fit(y=Y.astype(float)), r"y must be integer labels, got dtype float64"),
    "y bool": (fit(y=Y == 1), r"y must be integer labels, got dtype bool"),
    "y text": (fit(y=Y.astype(str)), r"y must be an array of real numbers, got dtype <U"),
    "y one-hot": (fit(y=np.eye(2, dtype=int)[Y]), r"y must have shape \(12,\), one label per input, got \(12, 2\)"),
    "y a column": (fit(y=Y[:, None]), r"y must have shape \(12,\).*got \(12, 1\)"),
    "y None": (fit(y=None), r"y must be an array of real numbers, got dtype object"),
    "more x than y": (fit(y=Y[:-1]), r"y must have shape \(12,\).*got \(11,\)"),
    "more y than x": (fit(X[:5]), r"y must have shape \(5,\).*got \(12,\)"),
    "y of regression for labels": (fit(y=T), r"y must have shape \(12,\).*got \(12, 2\)"),
    "labels for regression": (fit(likelihood=bayes.Gaussian()), r"y must have shape \(12, 2\), got \(12,\)"),
    "y NaN": (fit(y=with_entry(T, (3, 1), NAN), likelihood=bayes.Gaussian()), r"y must be finite.*\[3, 1\]"),
    "y of one output too many": (fit(y=T[:, :1], likelihood=bayes.Gaussian()), r"y must have shape \(12, 2\), got \(12, 1\)"),
    "y text for regression": (fit(y=T.astype(str), likelihood=bayes.Gaussian()), r"y must be an array of real numbers, got dtype <U"),
    "y ragged": (fit(y=[[1], [2, 3]]), r"y must "),
    "y ragged for regression": (fit(y=[[1], [2, 3]], likelihood=bayes.Gaussian()), r"y must "),
    "score with too many y": (lambda: model().predict(X, samples=2).error(np.zeros(13, int)), r"y must have shape \(12,\).*got \(13,\)"),
    "score with y out of range": (lambda: model().predict(X, samples=2).log_likelihood(Y * 2), LABELS + ", got values from 0 to 2"),
    "score with NaN": (lambda: regression().predict(X, samples=2).rmse(T * NAN), r"y must be finite.*\[0, 0\]"),
    "score with one column": (lambda: regression().predict(X, samples=2).log_likelihood(T[:, 0]),
                              r"y must have shape \(12, 2\), got \(12,\)"),
    # ---- settings of fit
    **{f"{name}={value!r}": (fit(**{name: value}), rf"{name} must be {wanted}, got {re.escape(repr(value))}")
       for name, wanted in (("batch_size", ">= 1"), ("steps", ">= 1"), ("validation_samples", ">= 1"), ("report_every", ">= 1"),
                            ("checkpoint_every", ">= 1"), ("threads", ">= 1")) for value in (0, -3)},
    **{f"{name}={value!r}": (fit(**{name: value}), rf"{name} must be an integer, got {re.escape(repr(value))}")
       for name in ("batch_size", "steps", "seed", "validation_samples", "report_every", "checkpoint_every", "threads")
       for value in (1.5, True, "a")},
    "batch_size None": (fit(batch_size=None), r"batch_size must be an integer, got None"),
    **{f"epochs={value!r}": (fit(epochs=value), rf"epochs must be a finite number in \(0, 1e\+06\], got {re.escape(repr(value))}")
       for value in (0, -1, NAN, INF)},
    "epochs text": (fit(epochs="3"), r"epochs must be a number, got '3'"),
    "epochs True": (fit(epochs=True), r"epochs must be a number, got True"),
    "seed negative": (fit(seed=-1), r"seed must be in \[0, 18446744073709551615\], got -1"),
    "seed too large": (fit(seed=2**64), r"seed must be in \[0, 18446744073709551615\], got 18446744073709551616"),
    "optimizer a name": (fit(optimizer="sgd"), r"optimizer must be nn\.SGD\(\.\.\.\) or nn\.Adam\(\.\.\.\), got 'sgd'"),
    "optimizer a class": (fit(optimizer=nn.SGD), r"optimizer must be nn\.SGD.*got <class"),
    "multipliers of an unknown layer": (fit(optimizer=nn.SGD(0.1, multipliers={"fc7": {"M": 2}})),
                                        r"multipliers names 'fc7', 'M', which the net"),
    "multipliers of an unknown parameter": (fit(optimizer=nn.Adam(multipliers={"fc1": {"W": 2}})), r"multipliers names 'fc1', 'W', which"),
    "dtype": (fit(dtype=np.float16), r"dtype must be one of 'float32', 'float64', got 'float16'"),
    "dtype unknown": (fit(dtype="decimal"), r"dtype must be one of 'float32', 'float64', got 'decimal'"),
    "validation no pair": (fit(validation=(X, Y, Y, X)), r"validation must be a pair \(x, y\)"),
    "validation one array": (fit(validation=X), r"validation must be a pair \(x, y\)"),
    "validation x": (fit(validation=(X[:, 1:], Y)), r"validation x must have shape \(N, 3\), got \(12, 2\)"),
    "validation y": (fit(validation=(X, Y + 5)), r"validation y must be labels in 0\.\.1 .*from 5 to 6"),
    "validation sizes": (fit(validation=(X[:4], Y)), r"validation y must have shape \(4,\).*got \(12,\)"),
    "params of another net": (fit(params=models.mlp([3, 5, 2]).init(0)), r"params must have the shapes .*\(4, 3\).*got .*\(5, 3\)"),
    "params without a layer": (fit(params={"fc1": PARAMS["fc1"]}), r"params must have the shapes .*fc2.*got"),
    "params with a layer more": (fit(params=PARAMS | {"fc3": PARAMS["fc1"]}), r"params must have the shapes .*got .*fc3"),
    "params NaN": (fit(params=PARAMS | {"fc2": {"M": PARAMS["fc2"]["M"] * NAN, "b": PARAMS["fc2"]["b"]}}),
                   r"params\['fc2'\]\['M'\] must be finite, got 8 .*\[0, 0\]"),
    "params no dict": (fit(params=[1, 2]), r"params must "),
    "params of numbers": (fit(params={"fc1": 1, "fc2": 2}), r"params must "),
    "on_report that gives a number": (fit(on_report=lambda snapshot, row: 3.0, steps=1), r"on_report must .*3\.0"),
    "images for a net that ends in images": (fit(IMAGES, net=nn.Network((8, 8, 1), c=nn.Conv2d(1, 2, 3))),
                                             r"net must end in one row of outputs per example.*gives \(6, 6, 2\)"),
    # ---- settings of predict
    **{f"samples={value!r}": (predict(samples=value), rf"samples must be {wanted}, got {value!r}")
       for value, wanted in ((0, ">= 1"), (-1, ">= 1"), *((v, "an integer") for v in (1.5, True, None)))},
    "samples='5'": (predict(samples="5"), r"samples must be an integer >= 1 or 'auto', got '5'"),
    "tolerance": (predict(samples="auto", tolerance=0), r"tolerance must be a finite number in \(0, inf\), got 0"),
    "max_samples": (predict(samples="auto", max_samples=0), r"max_samples must be >= 1, got 0"),
    "quantile at 1": (lambda: regression().predict(X, samples=2, keep_samples=True).quantile(1), r"q must be .*\(0, 1\), got 1"),
    "heteroscedastic with odd outputs": (lambda: mb.BayesianNetwork(nn.Network(a=nn.Dense(3, 3)), likelihood=bayes.Heteroscedastic()).fit(
        X, T), r"net must end in an even number of outputs.*got 3"),
    "samples too many": (predict(samples=2**33), r"samples must .*2\^32, got 8589934592"),
    "rule": (predict(rule="MC"), r"rule must be one of 'mc', 'weight-averaging', 'probabilistic-pooling', got 'MC'"),
    "rule a list": (predict(rule=["mc"]), r"rule must be one of .*got \['mc'\]"),
    "rule None": (predict(rule=None), r"rule must be one of .*got None"),
    "seed of predict": (predict(seed=-1), r"seed must be in \[0, 18446744073709551615\], got -1"),
    "seed of predict 1.0": (predict(seed=1.0), r"seed must be an integer, got 1\.0"),
    "threads of predict": (predict(threads=0), r"threads must be >= 1, got 0"),
    "probabilistic pooling without a pool": (predict(rule="probabilistic-pooling"),
                                             r"rule='probabilistic-pooling' needs a Conv2d with Bernoulli noise per patch right before"),
    "probabilistic pooling of Gaussian noise": (
        predict(IMAGES, nn.Network((8, 8, 1), c=nn.Conv2d(1, 2, 3, noise=nn.Gaussian()), p=nn.MaxPool2d(2), f=nn.Flatten()),
                rule="probabilistic-pooling"), r"needs Bernoulli noise, layer 'c' has Gaussian\(variance=1\.0\)"),
    "probabilistic pooling of whole kernels": (
        predict(IMAGES, nn.Network((8, 8, 1), c=nn.Conv2d(1, 2, 3, noise=nn.Bernoulli(0.5), noise_per="kernel"), p=nn.MaxPool2d(2),
                                   f=nn.Flatten()), rule="probabilistic-pooling"), r"needs a Conv2d with Bernoulli noise per patch"),
    "predict before fit": (lambda: mb.BayesianNetwork(NET).predict(X), r"model has no parameters yet: call fit"),
    "save before fit": (lambda: mb.BayesianNetwork(NET).save("x.npz"), r"model has no parameters yet: call fit"),
    "kl before fit": (lambda: mb.BayesianNetwork(NET).kl(), r"model has no parameters yet: call fit"),
    # ---- noise, prior, likelihood, optimizers
    **{f"keep={value!r}": (lambda value=value: nn.Bernoulli(value),
                           rf"keep must be a finite number in \(0, 1\], got {re.escape(repr(value))}")
       for value in (0, -0.1, 1.5, NAN, INF, 10**400)},
    **{f"keep={value!r}": (lambda value=value: nn.Bernoulli(value), rf"keep must be a number, got {re.escape(repr(value))}")
       for value in ("a", None, True, [0.5], 1j)},
    **{f"variance={value!r}": (lambda value=value: nn.Gaussian(value), rf"variance must be a finite number in \(0, inf\), got {value!r}")
       for value in (0, -1, NAN, INF)},
    **{f"lengthscale={value!r}": (lambda value=value: bayes.Prior(value),
                                  rf"lengthscale must be a finite number in \(0, inf\), got {value!r}")
       for value in (0, -1, NAN, INF)},
    "lengthscale text": (lambda: bayes.Prior("a"), r"lengthscale must be a number, got 'a'"),
    "lengthscale of a layer": (lambda: bayes.Prior({"fc1": 1.0, "fc2": 0}),
                               r"lengthscale\['fc2'\] must be a finite number in \(0, inf\), got 0"),
    "lengthscale of a missing layer": (lambda: mb.BayesianNetwork(NET, bayes.Prior({"fc1": 1.0})),
                                       r"lengthscale has no value for layer 'fc2', only for \['fc1'\]"),
    **{f"tau={value!r}": (lambda value=value: bayes.Gaussian(value), rf"tau must be a finite number in \(0, inf\), got {value!r}")
       for value in (0, -1, NAN, INF)},
    "rate 0": (lambda: nn.SGD(0), r"rate must be a finite number in \(0, inf\), got 0"),
    "rate NaN": (lambda: nn.Adam(NAN), r"rate must be a finite number in \(0, inf\), got nan"),
    "momentum 1": (lambda: nn.SGD(0.1, momentum=1), r"momentum must be a finite number in \[0, 1\), got 1"),
    "beta2": (lambda: nn.Adam(beta2=1.0), r"beta2 must be a finite number in \[0, 1\), got 1\.0"),
    "epsilon": (lambda: nn.Adam(epsilon=0), r"epsilon must be a finite number in \(0, inf\), got 0"),
    "policy": (lambda: nn.SGD(0.1, policy="step"), r"policy must be one of 'constant', 'inv', got 'step'"),
    "gamma": (lambda: nn.SGD(0.1, gamma=-1), r"gamma must be a finite number in \[0, inf\), got -1"),
    "multipliers negative": (lambda: nn.SGD(0.1, multipliers={"a": {"M": -1}}), r"multipliers\['a'\]\['M'\] must be .*\[0, inf\), got -1"),
    "multipliers flat": (lambda: nn.SGD(0.1, multipliers={"fc1": 3}), r"multipliers"),
    # ---- layers and networks
    "n_in 0": (lambda: nn.Dense(0, 3), r"n_in must be >= 1, got 0"),
    "n_out float": (lambda: nn.Dense(3, 3.0), r"n_out must be an integer, got 3\.0"),
    "stride 0": (lambda: nn.Conv2d(1, 2, 3, stride=0), r"stride must be >= 1, got 0"),
    "padding": (lambda: nn.Conv2d(1, 2, 3, padding=-1), r"padding must be >= 0, got -1"),
    "kernel a pair": (lambda: nn.Conv2d(1, 2, (3, 3)), r"kernel must be an integer, got \(3, 3\)"),
    "pool size": (lambda: nn.MaxPool2d(0), r"size must be in \[1, \d+\], got 0"),
    "init": (lambda: nn.Dense(3, 2, init_scheme="zeros"), r"init_scheme must be one of 'xavier', 'he', 'lecun', got 'zeros'"),
    "noise_per": (lambda: nn.Conv2d(1, 2, 3, noise_per="image"), r"noise_per must be one of 'patch', 'kernel', got 'image'"),
    "noise a number": (lambda: nn.Dense(3, 2, noise=0.5), r"noise must be nn\.Delta\(\), nn\.Bernoulli\(keep\), .*got 0\.5"),
    "noise a class": (lambda: nn.Dense(3, 2, noise=nn.Bernoulli),
                      r"noise must be nn\.Delta\(\), nn\.Bernoulli\(keep\), .*got the class Bernoulli: add its parentheses"),
    "noise the likelihood": (lambda: nn.Conv2d(1, 2, 3, noise=bayes.Gaussian()), r"noise must be nn\.Delta\(\).*got Gaussian\(tau"),
    "no layers": (lambda: nn.Network(), r"Network needs at least one layer, got none"),
    "a layer class": (lambda: nn.Network(a=nn.Dense(3, 2), r=nn.ReLU),
                      r"layer 'r' must be a layer such as nn\.Dense\(\.\.\.\), got the class ReLU: add its parentheses"),
    "dense layers that do not fit": (lambda: nn.Network(first=nn.Dense(3, 4), second=nn.Dense(5, 2)),
                                     r"layer 'second' \(Dense\) takes inputs of shape \(5,\), got \(4,\)"),
    "channels that do not fit": (lambda: nn.Network((8, 8, 1), c=nn.Conv2d(1, 2, 3), d=nn.Conv2d(3, 4, 3)),
                                 r"layer 'd' \(Conv2d\) takes images of shape \(H, W, 3\), got \(6, 6, 2\)"),
    "an image too small": (lambda: nn.Network((4, 4, 1), c=nn.Conv2d(1, 2, 5)),
                           r"layer 'c' \(Conv2d\) a window of 5 does not fit into 4 pixels"),
    "no image fits": (lambda: nn.Network(c=nn.Conv2d(1, 2, 5), f=nn.Flatten(), wide=nn.Dense(7, 2)),
                      r"layer 'wide' \(Dense\) takes inputs of shape \(7,\), which no square image of up to \d+ pixels gives"),

    "no image fits a layer with a quote in its name": (
        lambda: nn.Network(**{"c's": nn.Conv2d(1, 2, 5), "f": nn.Flatten(), "w": nn.Dense(7, 2)}),
        r"'w' \(Dense\) takes inputs of shape \(7,\)|name"),
    "no flatten": (lambda: nn.Network((8, 8, 1), c=nn.Conv2d(1, 2, 3), d=nn.Dense(72, 2)),
                   r"layer 'd' \(Dense\) takes inputs of shape \(72,\), got \(6, 6, 2\)"),
    "pool first": (lambda: nn.Network(p=nn.MaxPool2d(2)), r"Network needs the input shape before a pooling layer"),
    "input shape": (lambda: nn.Network((8, 0, 1), c=nn.Conv2d(1, 2, 3)), r"input_shape must be >= 1, got 0"),
    "lenet variant": (lambda: models.lenet("some"), r"variant must be one of 'none', 'ip', 'all', got 'some'"),
    "mlp sizes": (lambda: models.mlp([3]), r"sizes must name at least inputs and outputs, got \[3\]"),
    "mlp activation": (lambda: models.mlp([3, 2], activation="gelu"), r"activation must be one of 'relu', 'tanh', got 'gelu'"),
    # ---- the model
    "net no network": (lambda: mb.BayesianNetwork([nn.Dense(3, 2)]), r"net must be an nn\.Network, got list"),
    "net without weights": (lambda: mb.BayesianNetwork(nn.Network(r=nn.ReLU())), r"net must have a layer with weights"),
    "prior a number": (lambda: mb.BayesianNetwork(NET, prior=1.0), r"prior must be a bayes\.Prior, got 1\.0"),
    "prior 0": (lambda: mb.BayesianNetwork(NET, prior=0), r"prior must be a bayes\.Prior, got 0"),
    "likelihood a name": (lambda: mb.BayesianNetwork(NET, likelihood="softmax"),
                          r"likelihood must be bayes\.Categorical\(\), .*got 'softmax'"),
    "likelihood the noise": (lambda: mb.BayesianNetwork(NET, likelihood=nn.Gaussian()), r"likelihood must be .*got Gaussian\(variance"),
    "params of the wrong shape": (lambda: mb.BayesianNetwork(NET, params=models.mlp([3, 9, 2]).init(0)),
                                  r"params must have the shapes .*got"),

    # ---- one level down
    "z without a layer": (lambda: NET.forward(PARAMS, X, {}), r"z must have the noisy layers \['fc2'\], got \[\]"),
    "z None": (lambda: NET.forward(PARAMS, X, None), r"z must have the noisy layers \['fc2'\], got None"),
    "z with a layer more": (lambda: NET.forward(PARAMS, X, Z | {"fc1": np.ones((12, 3))}),
                            r"z must have the noisy layers \['fc2'\], got \['fc2', 'fc1'\]"),
    "z of another batch": (lambda: NET.forward(PARAMS, X, {"fc2": Z["fc2"][:5]}),
                           r"z\['fc2'\] must have shape \(B or 1, 4\), got \(5, 4\)"),
    "z of another width": (lambda: NET.forward(PARAMS, X, {"fc2": Z["fc2"][:, :3]}),
                           r"z\['fc2'\] must have shape \(B or 1, 4\), got \(12, 3\)"),
    "z without examples": (lambda: NET.forward(PARAMS, X, {"fc2": Z["fc2"][0]}), r"z\['fc2'\] must have shape \(B or 1, 4\), got \(4,\)"),
    "z of another place": (lambda: CONV.forward(CONV.init(0), IMAGES, {"c": np.ones((12, 8, 8, 2))}),
                           r"z\['c'\] must have shape \(B or 1, 6, 6, 2\), got \(12, 8, 8, 2\)"),
    "x of another shape, forward": (lambda: NET.forward(PARAMS, X[:, :2], Z), r"'fc1' \(Dense\) takes inputs of shape \(3,\), got \(2,\)"),
    "key": (lambda: NET.sample(-1, X.shape), r"key must be in \[0, 18446744073709551615\], got -1"),
    "key text": (lambda: NET.sample("a", X.shape), r"key must be an integer, got 'a'"),
    "pass": (lambda: nn.Key(0, 2**32), r"t must be in \[0, 4294967295\], got 4294967296"),
    "examples": (lambda: NET.sample(0, X.shape, examples=np.arange(5)),
                 r"examples must be 12 non-negative integers, got int64 of shape \(5,\)"),
    "examples negative": (lambda: NET.sample(0, X.shape, examples=np.arange(12) - 1), r"examples must be 12 non-negative integers"),
    "examples floats": (lambda: NET.sample(0, X.shape, examples=np.arange(12.0)),
                        r"examples must be 12 non-negative integers, got float64"),
    "examples too large": (lambda: NET.sample(0, X.shape, examples=np.arange(12) + 2**32), r"examples must be below 2\^32, got 4294967307"),
    "num_data": (lambda: bayes.Objective(NET, bayes.Prior(), bayes.Categorical(), 0), r"num_data must be >= 1, got 0"),
    "a layer of the posterior": (lambda: bayes.posterior.weights(NET, PARAMS, Z, "relu1"),
                                 r"name must be a layer with weights.*'fc1'.*got 'relu1'"),
}

@pytest.mark.parametrize("name", CASES)
def test_bad_input(name, monkeypatch):
    call, message = CASES[name]

    def work(*args, **kwargs):
        raise AssertionError("work began")

    if "on_report" not in name:
        monkeypatch.setattr(training.Run, "step", work)
        monkeypatch.setattr(nn.Dense, "forward", work)
        monkeypatch.setattr(nn.Conv2d, "forward", work)
    with pytest.raises(mb.InputError) as caught:
        call()
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value) and isinstance(caught.value, ValueError)


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", " 2", "²", "0x2"])
def test_bad_threads_in_the_environment(value, monkeypatch):
    monkeypatch.setenv("MINIBAYES_THREADS", value)
    for call in (fit(), predict()):
        with pytest.raises(mb.InputError, match=rf"MINIBAYES_THREADS must be a positive integer, got {re.escape(repr(value))}"):
            call()
    assert model().predict(X, threads=1, samples=1).mean.shape == (12, 2), "the argument goes before the environment"
    monkeypatch.setenv("MINIBAYES_THREADS", "")
    assert model().predict(X, samples=1).mean.shape == (12, 2)


def test_samples_that_were_not_kept():
    with pytest.raises(AttributeError, match=r"samples were not kept: predict with keep_samples=True"):
        _ = model().predict(X, samples=2).samples
    assert model().predict(X, samples=2, keep_samples=True).samples.shape == (2, 12, 2)


@pytest.mark.parametrize("call", [fit(epoch=3), fit(lr=0.1), predict(n_samples=3), predict(train=True), lambda: nn.Bernoulli(p=0.5),
                                  lambda: nn.Bernoulli(rate=0.5), lambda: nn.Dense(3, 2, dropout=0.5), lambda: nn.SGD(0.1, lr=1),
                                  lambda: bayes.Gaussian(precision=1), lambda: mb.BayesianNetwork(NET, loss="nll"),
                                  lambda: nn.Bernoulli(), lambda: mb.load()])
def test_unknown_and_missing_arguments(call):
    with pytest.raises(TypeError, match="unexpected keyword argument|missing"):
        call()


def test_what_is_just_allowed():
    """The nearest values on the other side of the limits tested above."""
    one = mb.BayesianNetwork(models.mlp([3, 4, 2], noise=nn.Bernoulli(1)))
    one.fit(X[:1], Y[:1], epochs=1e-9, batch_size=10**9, seed=2**64 - 1, optimizer=nn.SGD(1e-300, momentum=0), validation=[X[:1], Y[:1]],
            validation_samples=1, report_every=1, checkpoint_every=1, threads=1)
    assert [row["step"] for row in one.history] == [1]
    assert one.predict(X.astype(int), samples=1, seed=0).mean.shape == (12, 2)
    assert one.predict((X > 0).tolist(), samples=1).mean.shape == (12, 2)
    column = mb.BayesianNetwork(models.mlp([3, 4, 1]), likelihood=bayes.Gaussian(1e-30))
    column.fit(X, np.zeros(12, bool), steps=1)
    assert column.predict(X, samples=2).rmse(np.zeros((12, 1))) >= 0
    unsigned = mb.BayesianNetwork(NET)
    unsigned.fit(X, Y.astype(np.uint8), steps=1)
    assert nn.Bernoulli(1e-12).sample(0, (2, 3)).shape == (2, 3) and nn.Gaussian(1e-30).variance == 1e-30


def test_errors_leave_a_fitted_model_usable():
    fitted = mb.BayesianNetwork(NET)
    fitted.fit(X, Y, steps=2)
    params, history = fitted.params, fitted.history
    for call in (lambda: fitted.fit(X * NAN, Y), lambda: fitted.fit(X, Y + 9), lambda: fitted.fit(X, Y, threads=0),
                 lambda: fitted.predict(X, samples=0), lambda: fitted.fit(X, Y, optimizer=nn.SGD(0.1, multipliers={"no": {"M": 1}}))):
        with pytest.raises(mb.InputError):
            call()
    assert fitted.params is params and fitted.history is history


def test_integer_parameters_become_floats():
    """Kept as integers they would make predict cut its inputs down to integers."""
    model = mb.BayesianNetwork(nn.Network(a=nn.Dense(2, 1)), likelihood=bayes.Gaussian(), params={"a": {"M": [[1, 2]], "b": [0]}})
    assert model.dtype == np.float32 and model.predict([[0.5, 0.5]], samples=1).mean == 1.5
