"""Checks for a derivation of one's own: functions, whole classes, and the objective taken apart.

Each returns what it found and prints nothing; `passed` says whether it agrees, and str() says in
words what is wrong, where, and by how much.

    gradient_check, adjoint_check, unbiased_check    of a function of one's own
    layer, noise, likelihood, rule                   of a class: all that nn.Layer, nn.Noise, bayes.Likelihood
                                                     and bayes.kl.rule promise
    explain                                          L-hat, term by term
"""

from ..bayes.explain import Explanation, Term, explain
from .derivatives import GradientCheck, adjoint_check, gradient_check
from .estimates import UnbiasedCheck, unbiased_check
from .grade_layer import layer
from .grade_likelihood import likelihood
from .grade_noise import noise
from .grade_rule import rule
from .verdict import Finding, Verdict

__all__ = ["Explanation", "Finding", "GradientCheck", "Term", "UnbiasedCheck", "Verdict", "adjoint_check",
           "explain", "gradient_check", "layer", "likelihood", "noise", "rule", "unbiased_check"]
