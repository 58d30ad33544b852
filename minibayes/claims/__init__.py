"""Every claim of the poster, measured: FINDINGS says which function finds what, `find` runs one of them."""

import math

from . import derivatives, kl, objective, posterior, prediction, prior, uncertainty, weights
from .claim import Finding

__all__ = ["CLAIMS", "FINDINGS", "Finding", "find"]

CLAIMS = (*weights.CLAIMS, *objective.CLAIMS, *kl.CLAIMS, *prediction.CLAIMS, *uncertainty.CLAIMS, *prior.CLAIMS, *derivatives.CLAIMS,
          *posterior.CLAIMS)

# {function: the names of what it finds}, so that one finding can be asked for without running all.
FINDINGS = {
    # W = M diag(z)
    weights.dense: ("weights-dense", "weights-dense-gradient", "weights-units-cut-out"),
    weights.conv: ("weights-conv", "weights-conv-gradient"),
    weights.one_omega: ("weights-conv-many-omegas",),
    # L-hat
    objective.unbiased: ("objective-unbiased-value", "objective-unbiased-gradient", "objective-unbiased-sampled"),
    objective.linear: ("objective-linear", "objective-optimum"),
    objective.training: ("objective-dropout-training", "objective-inverted-training"),
    objective.weight_decay: ("objective-weight-decay-map",),
    # KL
    kl.dropout_value: ("kl-dropout-closed-form", "kl-dropout-rate", "kl-dropout-overlap"),
    kl.dropout_gradient: ("kl-dropout-gradient",),
    kl.mgn: ("kl-mgn-closed-form", "kl-mgn-divergence", "kl-mgn-weight-decay"),
    kl.monte_carlo: ("kl-dropout-monte-carlo", "kl-mgn-monte-carlo"),
    kl.log_uniform: ("kl-loguniform-integral", "kl-loguniform-monte-carlo", "kl-loguniform-sigmoid", "kl-loguniform-cubic"),
    # the predictive mean
    prediction.monte_carlo: ("prediction-mc-converges", "prediction-mc-rate", "prediction-std-error", "prediction-coverage"),
    prediction.weight_averaging: ("prediction-weight-averaging", "prediction-weight-averaging-classes",
                                  "prediction-weight-averaging-geometric", "prediction-weight-averaging-linear"),
    prediction.max_pooling: ("prediction-max-pool", "prediction-max-pool-rule"),
    # its uncertainty
    uncertainty.mixture: ("uncertainty-variance", "uncertainty-variance-passes", "uncertainty-log-density"),
    uncertainty.passes: ("uncertainty-passes", "uncertainty-passes-variance", "uncertainty-passes-log-density"),
    uncertainty.one_layer: ("uncertainty-one-layer", "uncertainty-one-layer-convex", "uncertainty-two-layers"),
    uncertainty.information: ("uncertainty-information", "uncertainty-information-coin", "uncertainty-information-alike"),
    # the prior
    prior.wide_nets: ("prior-covariance", "prior-kurtosis", "prior-rate"),
    # the derivatives
    derivatives.likelihoods: ("derivatives-softmax", "derivatives-gaussian", "derivatives-gaussian-density"),
    derivatives.convolution: ("derivatives-conv", "derivatives-im2col", "derivatives-im2col-matrix"),
    derivatives.pooling: ("derivatives-max-pool", "derivatives-max-pool-mass"),
    derivatives.network: ("derivatives-network", "derivatives-tanh"),
    # q against the exact posterior
    posterior.one_weight: ("posterior-one-weight-dropout", "posterior-one-weight-mgn", "posterior-one-weight-mgn-exact"),
    posterior.one_weight_trained: ("posterior-one-weight-trained", "posterior-one-weight-contraction", "posterior-one-weight-bias"),
    posterior.tiny_net: ("posterior-net-hmc", "posterior-net-dropout-data", "posterior-net-dropout-gap", "posterior-net-dropout-outside",
                         "posterior-net-mgn-data", "posterior-net-mgn-gap", "posterior-net-mgn-outside"),
}


def find(function):
    """The findings of one function of FINDINGS; if it cannot be computed, each of them fails and says why."""
    try:
        return function()
    except Exception as error:  # whatever it is: this claim does not hold, and the others are still to be looked at
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return [Finding(name, "could not be computed", said, math.nan, 0.0, "there is nothing to compare") for name in FINDINGS[function]]
