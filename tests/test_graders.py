"""checks.layer, noise, likelihood and rule: the library's classes pass, and mistakes are named."""

from dataclasses import dataclass

import numpy as np
import pytest

from minibayes import InputError, bayes, checks, nn
from minibayes.nn import place as places

DROP = nn.Bernoulli(0.6)
NOISES = [DROP, nn.Gaussian(0.5), nn.LearnedGaussian(0.4), nn.LearnedGaussian(0.4, per="unit")]
OF_WEIGHTS = [nn.LearnedGaussian(0.4, per="weight"), nn.MeanField(0.3)]
PLACES = [nn.Inputs(), nn.Outputs(), nn.Weights(), nn.Local()]
LAYERS = [(nn.ReLU(), (5,)), (nn.Tanh(), (2, 3, 1)), (nn.Flatten(), (2, 3, 2)), (nn.MaxPool2d(2), (4, 5, 2)),
          (nn.MaxPool2d(3, 1), (4, 4, 1)), (nn.AveragePool2d(2), (4, 5, 2)), (nn.AveragePool2d(3, 1), (5, 4, 1)),
          (nn.AveragePool2d(2, 3), (5, 8, 2)), (nn.Append(2), (3,)), (nn.Dense(4, 3), (4,)), (nn.Conv2d(2, 3, 2), (3, 4, 2)),
          (nn.Conv2d(1, 2, 3, stride=2, padding=1, noise=DROP), (5, 5, 1)),
          (nn.Conv2d(1, 2, 2, noise=nn.Gaussian(), noise_per="kernel"), (3, 3, 1))]


def can_act(noise, place):
    return (noise.local or place != nn.Local()) and (not noise.of_weights or place in (nn.Local(), nn.Weights()))


@pytest.mark.parametrize("layer, shape", LAYERS, ids=lambda v: repr(v)[:60])
def test_layers_pass(layer, shape, capsys):
    verdict = checks.layer(layer, shape)
    assert verdict.passed, verdict
    assert verdict.cause == "" and str(verdict).startswith(repr(layer)) and capsys.readouterr() == ("", "")


@pytest.mark.parametrize("place", PLACES, ids=repr)
@pytest.mark.parametrize("noise", [*NOISES, *OF_WEIGHTS], ids=repr)
def test_noises_pass_at_every_place(noise, place):
    if not can_act(noise, place):
        pytest.skip("place Local needs normal noise, and noise on single weights Local or Weights")
    verdict = checks.layer(nn.Dense(3, 2, noise=noise, place=place), (3,))
    assert verdict.passed, verdict
    if place != nn.Inputs():
        verdict = checks.layer(nn.Conv2d(2, 2, 2, noise=noise, place=place), (3, 3, 2))
        assert verdict.passed, verdict


@pytest.mark.parametrize("noise", [*NOISES, *OF_WEIGHTS, nn.Delta(), nn.Bernoulli(0.5), nn.Bernoulli(1.0),
                                   nn.Bernoulli(0.01), nn.Gaussian()], ids=repr)
def test_noises_pass(noise):
    verdict = checks.noise(noise)
    assert verdict.passed, verdict


@pytest.mark.parametrize("likelihood, outputs", [
    (bayes.Categorical(), 4), (bayes.Categorical(), 1), (bayes.Gaussian(3.0), 1), (bayes.Gaussian(0.2), 2),
    (bayes.Gaussian(0.2), 5),
    (bayes.Heteroscedastic(), 2), (bayes.Heteroscedastic(), 4)], ids=repr)
def test_likelihoods_pass(likelihood, outputs):
    verdict = checks.likelihood(likelihood, outputs)
    assert verdict.passed, verdict


@pytest.mark.parametrize("noise, prior", [
    *((noise, bayes.Prior(1.3)) for noise in (nn.Delta(), nn.Bernoulli(1.0), *NOISES, *OF_WEIGHTS)),
    (nn.Gaussian(2.0), bayes.Prior({"layer": 0.7}))], ids=repr)
def test_rules_under_the_normal_prior_pass(noise, prior):
    verdict = checks.rule(noise, prior)
    assert verdict.passed, verdict


def length(ray):
    """log p of a ray whose length is log-uniform: what the rules of bayes.LogUniform take for it."""
    return -float(np.log(np.linalg.norm(ray)))


@pytest.mark.parametrize("noise", [*NOISES[1:], *OF_WEIGHTS], ids=repr)
def test_rules_under_the_log_uniform_prior_pass(noise):
    verdict = checks.rule(noise, bayes.LogUniform(), log_p=length)
    assert verdict.passed, verdict
    # without log_p it says that values were not compared
    assert checks.rule(noise, bayes.LogUniform())["log_p"].judged is False


def test_a_pair_without_a_rule_is_named():
    verdict = checks.rule(DROP, bayes.LogUniform())
    assert "the KL of Bernoulli noise under the prior LogUniform is not known" in verdict.cause


# ------------------------------------------------------------------------------------------- mistakes: layers

@dataclass(frozen=True)
class Slip(nn.Dense):
    """nn.Dense with one of the mistakes that its derivative invites."""

    slip: str = ""

    def forward(self, params, x, z=1):
        if self.slip == "mixes rows":
            x = x - x.mean(axis=0)
        if self.slip == "writes into x":
            x *= z
        if self.slip == "draws":
            x = x + np.random.default_rng().standard_normal(x.shape)
        if self.slip == "raises":
            raise IndexError("no such unit")
        if self.slip == "y alone":
            return x @ params["M"].T
        f, cache = super().forward(params, x, z)
        return (f.astype(np.float64) if self.slip == "float64" else f), cache

    def backward(self, params, cache, df):
        dx, grads = super().backward(params, cache, df)
        x, _, z = cache
        changed = {
            "no mask in dx": lambda: (df @ params["M"], grads),
            "no mask in dM": lambda: (dx, grads | {"M": df.T @ x}),
            "mask twice": lambda: (dx * z, grads),
            "sign": lambda: (dx, grads | {"M": -grads["M"]}),
            "factor 2": lambda: (dx, grads | {"b": 2 * grads["b"]}),
            "mean": lambda: (dx, grads | {"M": grads["M"] / len(x)}),
            "dx mean": lambda: (dx / len(x), grads),
            "transposed": lambda: (dx, grads | {"M": grads["M"].T}),
            "zero": lambda: (np.zeros_like(dx), grads),
            "one entry": lambda: (dx, grads | {"b": grads["b"] + np.eye(len(grads["b"]), dtype=dx.dtype)[1]}),
            "no b": lambda: (dx, {"M": grads["M"]} | {p: g for p, g in grads.items() if p == "z"}),
            "no z": lambda: (dx, {p: g for p, g in grads.items() if p != "z"}),
            "dz lacks x": lambda: (dx, grads | ({"z": df @ params["M"]} if "z" in grads else {})),
            "nan": lambda: (dx * np.nan, grads),
            "writes into df": lambda: (dx, grads, df.__imul__(2))[:2],
            "grads alone": lambda: grads,
        }
        return changed.get(self.slip, lambda: (dx, grads))()


@pytest.mark.parametrize("slip, finding, says", [
    ("no mask in dx", "dL/dx", "dL/dx lacks the mask z"),
    ("no mask in dM", "dL/dM", "dL/dM lacks the mask z, row by row"),
    ("mask twice", "dL/dx, with LearnedGaussian", "dL/dx has the mask z once too often"),
    ("sign", "dL/dM", "dL/dM has the wrong sign"),
    ("factor 2", "dL/db", "dL/db is 2 times what it should be: a constant factor"),
    ("mean", "rows", "dL/dM is the mean over the batch, and must be the sum"),
    ("dx mean", "rows", "dL/dx divides by the batch"),
    ("transposed", "dL/dM", "dL/dM is transposed"),
    ("zero", "dL/dx", "dL/dx is zero everywhere"),
    ("one entry", "dL/db", "dL/db is wrong in 1 of 3 entries, most of all [1]"),
    ("no b", "names of gradients", "backward gives gradients of ['M'], and must of ['M', 'b']"),
    ("no z", "names of gradients, with LearnedGaussian", "dL/dz is missing: where self.noise.learned"),
    ("dz lacks x", "dL/dz, with LearnedGaussian", "dL/dz lacks x"),
    ("nan", "dL/dx", "dL/dx has NaN or infinite entries"),
    ("mixes rows", "rows", "forward mixes the rows"),
    ("writes into x", "writes nothing", "forward writes into x"),
    ("writes into df", "writes nothing", "backward writes into df"),
    ("draws", "writes nothing", "the noise is z, and nothing else may be random"),
    ("float64", "dtype", "y comes as float64 where everything is float32"),
    ("raises", "forward and backward", "Slip.forward raised IndexError: no such unit, at line "),
    ("y alone", "forward and backward", "forward must return (y, cache), got ndarray"),
    ("grads alone", "forward and backward", "backward must return (dL/dx, {name: dL/dparam})"),
])
def test_mistakes_of_a_layer_are_named(slip, finding, says):
    size = 3 if slip == "transposed" else 4
    verdict = checks.layer(Slip(size, 3, noise=DROP, slip=slip), (size,))
    assert not verdict.passed and not verdict[finding].passed and says in verdict[finding].cause, verdict
    assert verdict.cause and says in str(verdict)
    assert checks.layer(Slip(4, 3, noise=DROP), (4,)).passed


def test_a_kink_is_no_wrong_gradient():
    verdict = checks.layer(nn.ReLU(), (3,), x=np.zeros((2, 3)))
    assert "f has a kink at this point" in verdict["dL/dx"].cause
    some = np.ones((2, 3))
    some[0, 1] = 0
    assert checks.layer(nn.ReLU(), (3,), x=some).passed


@dataclass(frozen=True)
class SlipWeights(nn.Dense):
    """dL/dz of noise on every weight without its factor M."""

    place: places.Place = nn.Weights()

    def backward(self, params, cache, df):
        dx, grads = super().backward(params, cache, df)
        return dx, {p: g / params["M"] if p == "z" else g for p, g in grads.items()}


@dataclass(frozen=True)
class SlipOutputs(nn.Dense):
    """dL/dz of noise on the outputs without what it multiplied."""

    place: places.Place = nn.Outputs()

    def backward(self, params, cache, df):
        dx, grads = super().backward(params, cache, df)
        return dx, {p: df if p == "z" else g for p, g in grads.items()}


@pytest.mark.parametrize("layer, says", [(SlipWeights, "dL/dz lacks M"),
                                         (SlipOutputs, "dL/dz lacks the response at z = 1")])
def test_the_factor_that_dz_lacks_is_named(layer, says):
    verdict = checks.layer(layer(4, 3, noise=nn.LearnedGaussian()), (4,))
    assert says in verdict.cause, verdict


@dataclass(frozen=True)
class NoNames(nn.Layer):
    noise: nn.Noise = nn.Bernoulli(0.5)

    def param_shapes(self):
        return {"M": (3, 4)}

    def init(self, rng, dtype=np.float32):
        return {"M": rng.standard_normal((4, 3) if self.noise == nn.Delta() else (3, 4))}

    def output_shape(self, shape):
        return (3,)

    def forward(self, params, x, z=1):
        return x @ params["M"].T, x


def test_what_was_forgotten_is_named():
    verdict = checks.layer(NoNames(), (4,))
    assert "noisy_params is empty: it must name the parameters" in verdict["forward and backward"].cause
    assert "end it in .astype(dtype)" in verdict["parameters"].cause
    verdict = checks.layer(NoNames(nn.Delta()), (4,))
    assert "init gives {'M': (4, 3)}, param_shapes says {'M': (3, 4)}" in verdict["parameters"].cause
    assert "NoNamesYet must have backward(params, cache, df)" in checks.layer(NoNamesYet(), (4,)).cause
    with pytest.raises(InputError, match="name must be one of 'save'"):
        verdict["dL/dq"]


@dataclass(frozen=True)
class NoNamesYet(NoNames):
    noisy_params = ("M",)

    def init(self, rng, dtype=np.float32):
        return {"M": rng.standard_normal((3, 4)).astype(dtype)}


# -------------------------------------------------------------------------------------------- mistakes: noise

@dataclass(frozen=True)
class SlipNoise(nn.Noise):
    """z = keep + s u, u ~ uniform(-1, 1), with log s learned, and one mistake."""

    slip: str = ""

    def start(self, shape):
        if self.slip == "start":
            return {"log_s": np.zeros(())}
        dtype = np.float32 if self.slip == "float32" else np.float64
        return {"log_s": np.full((1,) * len(shape), -0.5, dtype)}

    def draw(self, key, shape, rows):
        if self.slip == "own rng":
            return np.random.default_rng(1).uniform(-1, 1, shape).astype(rows.dtype)
        if self.slip == "one key":
            key = nn.Key(3)
        if self.slip == "one pass":
            rows = nn.Rows(rows.examples, 0 * rows.passes, rows.dtype)
        u = 2 * key.uniform(shape, rows) - 1
        if self.slip == "one unit":
            u = np.broadcast_to(u[..., :1], shape).copy()
        return u.astype(np.float64 if self.slip == "dtype" else rows.dtype)

    def z(self, phi, eps):
        z = eps.dtype.type(0.5) + np.exp(phi["log_s"]) * eps
        return z.sum(axis=0) if self.slip == "z shape" else z

    def pull(self, phi, eps, dz):
        right = (dz * np.exp(phi["log_s"]) * eps)
        return {"right": {"log_s": right.sum().reshape(phi["log_s"].shape)},
                "no exp": {"log_s": (dz * eps).sum().reshape(phi["log_s"].shape)},
                "no eps": {"log_s": (dz * np.exp(phi["log_s"])).sum().reshape(phi["log_s"].shape)},
                "no dz": {"log_s": (np.exp(phi["log_s"]) * eps).sum().reshape(phi["log_s"].shape)},
                "pull mean": {"log_s": (right.sum() / len(eps)).reshape(phi["log_s"].shape)},
                "pull shape": {"log_s": right},
                "pull name": {"s": right}}.get(self.slip, {"log_s": right.sum().reshape(phi["log_s"].shape)})

    def moments(self, phi):
        v = np.exp(2 * phi["log_s"]) / 3
        if self.slip == "phi":
            v = np.exp(-1.0) / 3 * np.ones_like(v)
        return {"variance": (0.5, v), "square": (0.5, 0.25), "mean": (0.5, 0.5),
                "factor": (0.5, 0.25 + 3 * v), "std": (0.5, 0.25 + v**0.5),
                "first": (0.25 + v, 0.25 + v), "swap": (0.5, 0.25 + v**2),
                "one": 0.5}.get(self.slip, (0.5, 0.25 + v))

    def points(self, order):
        nodes, weights = np.polynomial.legendre.leggauss(order)
        return nodes, weights / (1 if self.slip == "points" else 2)


@pytest.mark.parametrize("slip, finding, says", [
    ("variance", "moments", "E[z^2] is what Var[z] should be: E[z]^2 is to be added"),
    ("square", "moments", "the second moment is the square of the mean"),
    ("mean", "moments", "E[z^2] is what E[z] should be"),
    ("factor", "moments", "E[z^2] is wrong, the variance in it, 3 times what it should be"),
    ("std", "moments", "E[z^2] has the standard deviation in the place of the variance"),
    ("swap", "moments", "E[z^2] has the square of the variance in the place of the variance"),
    ("first", "moments", "E[z] is what E[z^2] should be"),
    ("phi", "moments at another phi", "E[z^2] is wrong"),
    ("one", "moments", "moments must return two numbers"),
    ("no exp", "dL/dlog_s", "dL/dlog_s lacks the factor exp(log_s)"),
    ("no eps", "dL/dlog_s", "dL/dlog_s lacks the factor eps"),
    ("no dz", "dL/dlog_s", "dL/dlog_s does not multiply by dz"),
    ("pull mean", "dL/dlog_s", "dL/dlog_s is the mean over the rows, and must be the sum"),
    ("pull shape", "dL/dlog_s", "sum over the rows, and over the units that share a number"),
    ("pull name", "dL/dlog_s", "pull gives ['s'], and must give ['log_s']"),
    ("start", "start", "it must have as many axes as a unit's shape has"),
    ("float32", "start", "must give a float64 array"),
    ("dtype", "draw", "draw gives float64 where rows.dtype is float32: end it in .astype(rows.dtype)"),
    ("own rng", "reproducible", "an example drawn in another order gets other numbers"),
    ("one key", "independent", "another layer has the same draws"),
    ("one pass", "independent", "another pass has the same draws"),
    ("one unit", "independent", "the unit 1 further on has the same draws"),
    ("z shape", "z", "z gives the shape"),
    ("points", "points", "the weights add up to 2, not to 1"),
])
def test_mistakes_of_a_noise_are_named(slip, finding, says):
    verdict = checks.noise(SlipNoise(slip))
    assert not verdict.passed and not verdict[finding].passed and says in verdict[finding].cause, verdict
    assert checks.noise(SlipNoise()).passed


def test_a_noise_that_is_not_normal_is_not_local():
    @dataclass(frozen=True)
    class NotNormal(SlipNoise):
        local = True
    assert "local is True, but z is not normal" in checks.noise(NotNormal()).cause


# -------------------------------------------------------------------------------------- mistakes: likelihoods

@dataclass(frozen=True)
class SlipLikelihood(bayes.Gaussian):
    slip: str = ""

    def targets(self, name, y, count, outputs):
        return np.asarray(y, float) if self.slip == "targets" else super().targets(name, y, count, outputs)

    def nll(self, f, y):
        nll, df = super().nll(f, y)
        r = f - y.astype(f.dtype)
        K, one = f.shape[1], f.dtype.type(1)
        constant = one * np.log(2 * np.pi) / 2
        return {"constant": (nll - K * constant, df), "one constant": (nll - (K - 1) * constant, df),
                "no tau": (nll + one * K / 2 * np.log(self.tau), df),
                "half": (nll + self.tau / 2 * (r * r).sum(axis=1), 2 * df),
                "df half": (nll, df / 2), "sign": (nll, -df), "batch": (nll / len(f), df / len(f)),
                "shape": (nll.mean(), df), "mean in df": (nll, df / len(f)),
                "column": (nll, df * np.arange(1, K + 1, dtype=f.dtype)), "float64": (nll.astype(float), df),
                "others": (nll - nll.mean() + 1, df)}.get(self.slip, (nll, df))

    def mean_and_variance(self, f):
        return {"std": (f, self.tau**-0.5), "precision": (f, self.tau), "axis": (f[:, :1], 1 / self.tau)}.get(
            self.slip, super().mean_and_variance(f))

    def data_terms(self, scale, N, outputs, total):
        total = total / 2 if self.slip == "terms" else total
        return (("data", "", total, ""),)


@pytest.mark.parametrize("slip, finding, says", [
    ("constant", "normalised", "a constant is missing in nll, 1.838 nats, 1/2 log(2 pi) for each target"),
    ("one constant", "normalised", "1/2 log(2 pi) for all 2 targets together: it belongs to each of them"),
    ("no tau", "normalised", "a constant is missing in nll"),
    ("half", "mean_and_variance", "the variance is 2 times what it should be: nll and mean_and_variance"),
    ("df half", "df", "df is 0.5 times what it should be: a constant factor"),
    ("sign", "df", "df has the wrong sign"),
    ("column", "df", "df is wrong in column 1, 2 times what it should be"),
    ("batch", "rows", "it depends on the others"),
    ("shape", "nll", "nll must give one number for each of 6 examples"),
    ("mean in df", "rows", "df divides by the batch"),
    ("others", "rows", "it depends on the others"),
    ("float64", "dtype", "nll comes as float64 where f is float32"),
    ("std", "mean_and_variance", "the variance is the standard deviation: square it"),
    ("precision", "mean_and_variance", "the variance is the precision: 1 over it"),
    ("axis", "mean_and_variance", "take the last axis, f[..., k]"),
    ("targets", "targets", "targets accepts"),
    ("terms", "data_terms", "data_terms add up to"),
])
def test_mistakes_of_a_likelihood_are_named(slip, finding, says):
    verdict = checks.likelihood(SlipLikelihood(3.0, slip), 2)
    assert not verdict.passed and not verdict[finding].passed and says in verdict[finding].cause, verdict
    assert checks.likelihood(SlipLikelihood(3.0), 2).passed


# -------------------------------------------------------------------------------------------- mistakes: rules

@dataclass(frozen=True)
class SlipGaussian(nn.LearnedGaussian):
    slip: str = ""


@bayes.kl.rule(SlipGaussian, bayes.Normal)
def slips(q, prior):
    """The KL of nn.LearnedGaussian with one alpha a layer, with one mistake."""
    slip, l2 = q.noise.slip, prior.of(q.name) ** 2
    log_alpha, squares = q.phi["log_alpha"], q.rays()
    alpha, n = float(np.exp(log_alpha).sum()), len(squares)
    second = {"E[z]": 1.0, "Var": alpha, "half": (1 + alpha) / 2}.get(slip, 1 + alpha)
    of_alpha = {"E[z]": 0, "half": alpha / 2}.get(slip, alpha)
    sign = {"rays sign": -1, "no rays": 0}.get(slip, 1)
    along = q.along(1 / squares)
    rays = bayes.kl.Term("rays", -sign * np.log(squares).sum() / 2,
                         {p: -sign * m * along[p] for p, m in q.params.items()})
    if slip == "each weight":
        rays = bayes.kl.Term("rays", -sum(np.log(np.abs(m)).sum() for m in q.params.values()),
                             {p: -1 / m for p, m in q.params.items()})
    c = {"no entropy": 0, "once": 1, "entropy sign": -n}.get(slip, n)
    slope = l2 / 2 * of_alpha * squares.sum() - c / 2 - (0.5 if slip == "gradient" else 0)
    slope -= l2 / 2 * of_alpha * squares.sum() if slip == "decay's share" else 0
    entropy = bayes.kl.Term("alpha", -c / 2 * float(log_alpha.sum()),
                            {"log_alpha": np.full_like(log_alpha, slope)})
    return bayes.kl.Part({p: l2 * second for p in q.params}, (rays, entropy))


@pytest.mark.parametrize("slip, finding, says", [
    ("E[z]", "value in M, Inputs()", "E[z] is used where E[z^2] belongs, in -E_q log p"),
    ("Var", "value in M, Inputs()", "Var[z] is used where E[z^2] belongs, in -E_q log p"),
    ("half", "value in M, Inputs()", "-E_q log p is half of what it should be"),
    ("no rays", "value in M, Inputs()", "the entropy along the ray, -log ||m||, is left out"),
    ("rays sign", "value in M, Inputs()", "the entropy along the ray, -log ||m||, has the wrong sign"),
    ("each weight", "value in M, Inputs()", "-log |m| is counted for each weight, and must be for each ray"),
    ("no entropy", "value in phi, Inputs()", "the entropy of z, -H(phi), is left out"),
    ("entropy sign", "value in phi, Inputs()", "the entropy of z, -H(phi), has the wrong sign"),
    ("once", "value in phi, Inputs()", "the entropy of z, -H(phi), is counted once, and must be for each"),
    ("gradient", "dKL/dlog_alpha, Inputs()", "dKL/dlog_alpha is"),
    ("decay's share", "dKL/dlog_alpha, Inputs()", "dKL/dlog_alpha"),
])
def test_mistakes_of_a_rule_are_named(slip, finding, says):
    verdict = checks.rule(SlipGaussian(0.5, slip=slip), bayes.Prior(1.3))
    assert not verdict.passed and not verdict[finding].passed and says in verdict[finding].cause, verdict


def test_the_right_rule_passes_and_promises_are_kept():
    assert checks.rule(SlipGaussian(0.5), bayes.Prior(1.3)).passed

    @dataclass(frozen=True)
    class Promised(nn.Bernoulli):
        pass

    @bayes.kl.rule(Promised, bayes.Normal, pure_decay=True)
    def wrong(q, prior):
        return bayes.kl.Part({p: q.noise.keep * float(np.abs(m).mean()) for p, m in q.params.items()})

    verdict = checks.rule(Promised(0.5), bayes.Prior())
    said = verdict["pure_decay, Inputs()"].cause
    assert "pure_decay was promised, but the weight decay changes" in said, verdict


def test_a_prior_is_looked_at_too():
    @dataclass(frozen=True)
    class Wide(bayes.Prior):
        slip: str = ""

        def log_p(self, layer, w):
            sign = -1 if self.slip == "gradient" else 1
            constant = 0 if self.slip == "constant" else w.size / 2 * np.log(8 * np.pi)
            return -(w * w).sum() / 8 - constant, -sign * w / 4

        def draw(self, rng, layer, shape):
            return rng.normal(0, 4.0 if self.slip == "draw" else 2.0, shape)

    @bayes.kl.rule(nn.Delta, Wide)
    def rule(q, prior):
        return bayes.kl.Part({p: 1 / 4 for p in q.params})

    assert checks.rule(nn.Delta(), Wide()).passed
    for slip, says in (("gradient", "the gradient of log p has the wrong sign"),
                       ("constant", "exp(log_p) integrates to 5.0"), ("draw", "draw is not from exp(log_p)")):
        verdict = checks.rule(nn.Delta(), Wide(slip))
        assert says in verdict.cause, verdict


def test_nothing_is_raised():
    """What a class of the caller's raises becomes a finding that names the method, the error and the line."""
    class Bare(nn.Layer):
        def forward(self, params, x, z=1):
            return x, None

        def backward(self, params, cache, df):
            return df, {}

    class Broken(Bare):
        def param_shapes(self):
            return 1 / 0

    @dataclass(frozen=True)
    class Kept(nn.Bernoulli):
        pass

    @bayes.kl.rule(Kept, bayes.Normal)
    def broken(q, prior):
        raise KeyError("sigma")

    assert "must be a dataclass, @dataclass(frozen=True)" in checks.layer(Bare(), (3,))["save"].cause
    said = str(checks.layer(Broken(), (3,)))
    assert "Broken.param_shapes raised ZeroDivisionError: division by zero, at line" in said
    assert "Steep must have moments(phi)" in str(checks.noise(Steep()))
    assert "the rule raised KeyError: 'sigma'" in checks.rule(Kept(0.5), bayes.Prior()).cause
    assert "must have nll(f, y)" in checks.likelihood(NoNll(), 1).cause
    assert "support must be one of" in checks.likelihood(NoSupport(), 1).cause
    with pytest.raises(InputError, match="NoNames has noise, so it must have noisy_params"):
        nn.Network(a=NoNames()).init(0)


@dataclass(frozen=True)
class Steep(nn.Noise):
    def draw(self, key, shape, rows):
        return key.uniform(shape, rows)


@dataclass(frozen=True)
class NoNll(bayes.Likelihood):
    pass


@dataclass(frozen=True)
class NoSupport(bayes.Likelihood):
    support = "angle"
