"""The printed table and the figure of the regression study; every title is computed from the scores."""

import numpy as np

from ... import plots
from .. import common
from . import co2, toy

TRUTH, DATA = "#D55E00", "#000000"
IN_FIGURE = ("ReLU, drop 0.1", "tanh, drop 0.1")  # the networks with a panel; the table has all
SCORES = ("RMSE", "log-lik., nats", "in 1 std %", "in 2 std %", "std", "epistemic")
NOTES = (
    "RMSE, std and its epistemic part (over passes) in the units of y; "
    "log-likelihood: the mean of log p(y*) over the points.\n"
    "A calibrated Gaussian band has 68 % of them within 1 std and 95 % within 2.\n"
    "Every band has the noise level that the training data ask of q: "
    "1/tau = mean over data and passes of (y - f)^2.\n"
    "weight averaging: one pass with z replaced by E[z]; all of its std is that noise.")


def cells(row: dict) -> tuple[str, ...]:
    """One score as the table shows it."""
    return (f"{row['rmse']:.2f}", f"{row['log_likelihood']:.2f}", f"{100 * row['coverage_1']:.0f}",
            f"{100 * row['coverage_2']:.0f}", f"{row['std']:.2f}", f"{row['epistemic']:.2f}")


def summary(result: dict) -> str:
    """The printed table."""
    settings, air = result["settings"], result["co2"]
    return "\n".join([
        *sine_lines(result["sine"], settings), "", *noise_lines(result["growing_noise"]), "",
        f"Mauna Loa CO2, ppm: {co2.MONTHS} months to 1981-03 learned, 469 to 2020-04 scored; "
        f"{co2.HIDDEN} x {settings['width']} units, {settings['steps']:,} full-batch steps, "
        f"T = {settings['samples']:,}", "",
        common.table(("model", "predicted by", "horizon", "months", *SCORES),
                     [(r["model"], plots.NAMES.get(r["rule"], ""), r["horizon"], r["count"], *cells(r))
                      for r in air["scores"]]), "",
        f"noise level, ppm: {', '.join(f'{name}: {std:.2f}' for name, std in air['noise_std'].items())}; "
        f"the straight line's: {air['scale']:.2f}", "", NOTES])


def sine_lines(sine: dict, settings: dict) -> list[str]:
    return [f"y = x sin x, {toy.POINTS} points without noise in [-5, 5]; {settings['toy_steps']:,} steps, "
            f"T = {settings['samples']:,}; noise level {sine['noise_std']:.2f}", "",
            common.table(("predicted by", "where", *SCORES),
                         [(plots.NAMES[r["rule"]], r["region"], *cells(r)) for r in sine["scores"]])]


def noise_lines(noisy: dict) -> list[str]:
    sigma = noisy["sigma"]
    found = ", ".join(f"{f:.2f} (true {t:.2f})" for f, t in zip(sigma["found"], sigma["true"], strict=True))
    return [f"the same with noise of std 0.2 at -5 to 2.2 at 5, {toy.NOISY_POINTS} points; "
            f"scored on {toy.FRESH:,} fresh ones", "",
            common.table(("noise", "where", *SCORES),
                         [(r["noise"], r["region"], *cells(r)) for r in noisy["scores"]]), "",
            f"noise std found at -5, 0, 5: {found}; one for all: {sigma['constant']:.2f}",
            f"heteroscedastic against constant: {noisy['gain']:+.3f} ± {noisy['gain_se']:.3f} nats a point "
            "(± one standard error)"]


def figure(result: dict, figure_data: dict) -> plots.Axes:
    """Six panels: the toy, draws from q, growing noise; CO2 by two networks, and how far the bands held."""
    air, record = result["co2"], figure_data["record"]
    axes = plots.figure(2, 3, (17, 9))
    sine_panel(result["sine"], figure_data["sine"], axes[0, 0])
    draws_panel(result["sine"], figure_data["sine"], axes[0, 1])
    noise_panel(result["growing_noise"], figure_data["growing_noise"], axes[0, 2])
    for ax, name in zip(axes[1], IN_FIGURE, strict=False):
        ax.sharey(axes[1, 0])  # so that the bands compare
        co2_panel(air, record, name, figure_data["co2"][name], ax)
    coverage_panel(air, axes[1, 2])
    return axes[0, 0]


def of(rows: list[dict], **wanted: str) -> dict:
    """The one row with these values."""
    found, = (row for row in rows if all(row[key] == value for key, value in wanted.items()))
    return found


def finish(ax: plots.Axes, title: str, x: str, y: str, legend: str) -> plots.Axes:
    ax.set_title(title, fontsize=10)
    ax.set(xlabel=x, ylabel=y)
    ax.grid(True, alpha=0.3)
    ax.legend(fontsize=7, loc=legend)
    return ax


def both_rules(x: np.ndarray, bands: dict, ax: plots.Axes) -> None:
    """The band of MC averaging, and the dashed mean of weight averaging."""
    plots.band(x, bands["mc"].mean, bands["mc"].std, ax, label=plots.NAMES["mc"])
    ax.plot(x, bands["weight-averaging"].mean, plots.LINES["weight-averaging"], color=plots.COLORS["ip"],
            label=plots.NAMES["weight-averaging"])


def sine_panel(scores: dict, data: toy.Toy, ax: plots.Axes) -> plots.Axes:
    both_rules(data.grid, data.bands, ax)
    truth_and_points(data, ax)
    inside, beyond = (of(scores["scores"], rule="mc", region=region)["coverage_2"]
                      for region in ("between the points", "beyond them"))
    return finish(ax, f"y = x sin x: 2 std hold {inside:.0%} of the truth between the points,\n"
                      f"{beyond:.0%} beyond them", "x", "y", "upper center")


def draws_panel(scores: dict, data: toy.Toy, ax: plots.Axes) -> plots.Axes:
    plots.functions(data.grid, data.draws, ax)
    truth_and_points(data, ax)
    inner = abs(data.grid) <= toy.INSIDE
    spread = data.draws.std(axis=0, ddof=1)
    beyond = of(scores["scores"], rule="mc", region="beyond them")["rmse"]
    return finish(ax, f"{len(data.draws)} functions drawn from it: "
                      f"their std is {spread[inner].mean():.2f} between the points,\n"
                      f"{spread[~inner].mean():.2f} beyond them, where the mean errs by {beyond:.1f} (RMSE)",
                  "x", "f(x, omega)", "upper center")


def noise_panel(scores: dict, data: toy.Toy, ax: plots.Axes) -> plots.Axes:
    band, constant = data.bands["heteroscedastic"], data.bands["constant"]
    plots.band(data.grid, band.mean, band.std, ax, label="heteroscedastic")
    for sign in (-2, 2):
        ax.plot(data.grid, constant.mean + sign * constant.std, ":", color=plots.COLORS["none"],
                label="constant noise, 2 std" if sign > 0 else None)
    truth_and_points(data, ax)
    low, _, high = scores["sigma"]["found"]
    true_low, _, true_high = scores["sigma"]["true"]
    return finish(ax, f"Noise std found {low:.2f} at x = -5, {high:.2f} at 5 "
                      f"(true {true_low:.1f}, {true_high:.1f});\n"
                      f"{scores['gain']:+.2f} ± {scores['gain_se']:.2f} nats a point against constant noise",
                  "x", "y", "lower center")


def truth_and_points(data: toy.Toy, ax: plots.Axes) -> None:
    ax.plot(data.grid, data.truth, "-", color=TRUTH, linewidth=1, label="x sin x")
    ax.plot(data.x, data.y, ".", color=DATA, markersize=4, label="data")


def co2_panel(scores: dict, record: co2.Series, name: str, bands: dict, ax: plots.Axes) -> plots.Axes:
    both_rules(record.time, bands, ax)
    time, ppm = record.time, record.ppm
    ax.plot(time[:co2.MONTHS], ppm[:co2.MONTHS], "-", color=DATA, linewidth=0.7, label="learned")
    ax.plot(time[co2.MONTHS:], ppm[co2.MONTHS:], "-", color=TRUTH, linewidth=0.7, label="what came")
    ax.axvline(time[co2.MONTHS], color=DATA, linewidth=0.5)
    near, far = (of(scores["scores"], model=name, rule="mc", horizon=horizon)
                 for horizon in ("year 1", "years 21-39"))
    return finish(ax, f"CO2, {name}: 2 std hold {near['coverage_2']:.0%} of year 1, "
                      f"{far['coverage_2']:.0%} of years 21-39;\n"
                      f"there the mean errs by {far['rmse']:.1f} ppm and the std is {far['std']:.1f} ppm",
                  "year", "ppm", "upper left")


def coverage_panel(scores: dict, ax: plots.Axes) -> plots.Axes:
    """The share of months within 2 std, horizon by horizon: every network and rule, and the straight line."""
    horizons = [name for name in co2.HORIZONS if name not in ("window", "all later")]
    rows, names = scores["scores"], list(co2.NETS)
    share = {(r["model"], r["rule"], r["horizon"]): r["coverage_2"] for r in rows}
    lines = [(name, rule) for name in names for rule in ("mc", "weight-averaging")]
    for model, rule in [*lines, (co2.LINE, "")]:
        color = plots.PALETTE[names.index(model)] if rule else plots.COLORS["none"]
        ax.plot(horizons, [100 * share[model, rule, horizon] for horizon in horizons],
                plots.LINES.get(rule, ":"), marker=plots.MARKERS.get(rule, "x"), markersize=5, color=color,
                label=f"{model}, {plots.NAMES[rule]}" if rule else model)
    ax.axhline(95.4, color=DATA, linewidth=0.5, label="a calibrated Gaussian band")
    first, later = names[0], "years 11-20"
    return finish(ax, f"{later.capitalize()}, {first}: "
                      f"2 std of MC averaging hold {share[first, 'mc', later]:.0%},\n"
                      f"of weight averaging {share[first, 'weight-averaging', later]:.0%}; "
                      f"the straight line's {share[co2.LINE, '', later]:.0%}",
                  "after the last month learned", "months within 2 std, %", "lower left")
