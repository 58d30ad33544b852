"""E[z] and E[z^2] as a noise claims them, beside its draws, its `points` and the normal law."""

import numpy as np

from .. import require
from .slopes import near
from .verdict import Examination, Failed, call

ERRORS = 4  # standard errors of the sample


def moments(noise, phi, eps) -> str:
    """The claimed E[z] and E[z^2] beside the sample's."""
    z = np.asarray(call(noise, "z", phi, eps), np.float64)
    made = call(noise, "moments", phi)
    if not hasattr(made, "__len__") or len(made) != 2:
        return "moments must return two numbers, or arrays: E[z], E[z^2]"
    for claimed, what in zip(made, ("E[z]", "E[z^2]"), strict=True):
        if np.ndim(claimed) and np.broadcast_shapes(np.shape(claimed), z.shape[1:]) != z.shape[1:]:
            return f"moments gives {what} of shape {np.shape(claimed)}, which is not that of phi"
    # unit by unit where phi says so, else of all
    each = np.size(made[0]) > 1 or np.size(made[1]) > 1 or any(a.size > 1 for a in phi.values())
    z = z if each else z.reshape(-1, 1)
    first, second = (np.broadcast_to(np.asarray(c, np.float64).reshape(-1), z.shape[1:]) for c in made)

    def agrees(claimed, values):
        error = values.std(axis=0) / np.sqrt(len(values))
        rounding = 1e-7 * (1 + np.abs(claimed))
        return bool(np.all(np.abs(claimed - values.mean(axis=0)) <= ERRORS * error + rounding))
    m1, m2, variance = z.mean(axis=0), (z * z).mean(axis=0), z.var(axis=0)
    found = f"the draws have {m1.mean():.4g}, and moments says {first.mean():.4g}"
    if not agrees(first, z):
        if agrees(first, z * z):
            return f"E[z] is what E[z^2] should be: {found}"
        if agrees(1 - first, z):
            return f"E[z] is 1 - E[z], such as P(z = 0) for P(z = 1): {found}"
        return f"E[z] is wrong{factor(first, z, agrees)}: {found}"
    if agrees(second, z * z):
        return ""
    found = f"the draws have {m2.mean():.4g}, and moments says {second.mean():.4g}"
    deviations = (z - m1) ** 2
    if agrees(second, deviations):
        return f"E[z^2] is what Var[z] should be: E[z]^2 is to be added: {found}"
    if np.allclose(second, first**2):
        return f"the second moment is the square of the mean: Var[z] is to be added: {found}"
    if agrees(second, z):
        return f"E[z^2] is what E[z] should be: {found}"
    if agrees((second - first**2) ** 2, deviations):
        return f"E[z^2] has the standard deviation in the place of the variance: {found}"
    if np.all(second > first**2) and agrees(np.sqrt(second - first**2), deviations):
        return f"E[z^2] has the square of the variance in the place of the variance: {found}"
    said = factor(second - first**2, deviations, agrees)
    said = f", the variance in it{said}" if said else factor(second, z * z, agrees)
    return f"E[z^2] is wrong{said}: {found}" + ("" if variance.any() else "; the draws do not vary")


def factor(claimed, values, agrees) -> str:
    for number in (2, 3, 4, 12):
        for ratio, said in ((number, f"{number}"), (1 / number, f"1/{number}")):
            if agrees(claimed / ratio, values):
                return f", {said} times what it should be"
    return ", of the wrong sign" if agrees(-claimed, values) else ""


def examine_points(exam: Examination, noise, note: str, phi):
    """points(order), if it is written, against moments."""
    name = f"points{note}"
    one = {p: a.reshape(-1)[:1] for p, a in phi.items()}
    try:
        values, weights = noise.points(32)
    except require.InputError:
        return exam.add(name, None, "not written: truth.exact cannot enumerate this noise", judged=False)
    except Exception as error:
        return exam.add(name, f"points raised {type(error).__name__}: {error}")
    with exam.part(name, "weights add up to 1, and give the moments") as wrong:
        if np.ndim(values) != 1 or np.shape(values) != np.shape(weights):
            raise Failed("points must give (values, weights), two rows of one length, got shapes "
                         f"{np.shape(values)} and {np.shape(weights)}")
        if not near(np.sum(weights), 1.0):
            wrong(f"the weights add up to {np.sum(weights):.6g}, not to 1")
        z = np.asarray(call(noise, "z", one, np.asarray(values)), np.float64)
        for claimed, power, what in zip(call(noise, "moments", one), (1, 2), ("E[z]", "E[z^2]"), strict=True):
            found = float(weights @ z**power)
            if not near(found, float(np.ravel(claimed)[0]), 1e-4):
                wrong(f"points gives {what} = {found:.6g}, and moments {float(np.ravel(claimed)[0]):.6g}")


def normal(noise, phi, eps, seed) -> str:
    """What the place Local takes from a noise that says local = True."""
    z = np.asarray(call(noise, "z", phi, eps), np.float64)
    n = (z - z.mean(axis=0)) / z.std(axis=0)
    for power, wanted, spread in ((3, 0, np.sqrt(15)), (4, 3, np.sqrt(96))):
        if abs((n**power).mean() - wanted) > ERRORS * spread / np.sqrt(n.size):
            return (f"local is True, but z is not normal: its standardised moment {power} is "
                    f"{(n**power).mean():.3g}, not {wanted}")
    if not phi:
        return ""
    zero, one, two = (np.asarray(call(noise, "z", phi, np.full((1, eps.shape[1]), v)), np.float64)
                      for v in (0.0, 1.0, 2.0))
    first, second = (np.asarray(m, np.float64) for m in call(noise, "moments", phi))
    std = np.broadcast_to(np.sqrt(second - first**2), one.shape)
    if not near(two - one, one - zero) or not near(one - zero, std, 1e-4):
        return ("local is True, but T(phi, 1) - T(phi, 0) is not the standard deviation of z: draw must give "
                "N(0, 1), and T be E[z] + std eps")
    return ""
