"""The printed table and the figure of the regression study; every title is computed from the scores."""

from ... import plots
from .. import common
from . import co2, toy

TRUTH, DATA = "#D55E00", "#000000"
SHOWN = ("ReLU, drop 0.1", "tanh, drop 0.1")  # the networks whose bands the figure has; the table has all
SCORES = ("RMSE", "log-lik., nats", "in 1 std %", "in 2 std %", "std", "epistemic")
NOTES = """RMSE, std and its epistemic part (over passes) in the units of y; log-likelihood: the mean of log p(y*) over the points.
A calibrated Gaussian band has 68 % of them within 1 std and 95 % within 2.
Every band has the noise level that the training data ask of q: 1/tau = mean over data and passes of (y - f)^2.
weight averaging: one pass with z replaced by E[z]; all of its std is that noise."""


def cells(row):
    """One score as the table shows it."""
    return (f"{row['rmse']:.2f}", f"{row['log_likelihood']:.2f}", f"{100 * row['coverage_1']:.0f}", f"{100 * row['coverage_2']:.0f}",
            f"{row['std']:.2f}", f"{row['epistemic']:.2f}")


def summary(result):
    """The printed table."""
    settings, sine, noisy, air = (result[key] for key in ("settings", "sine", "growing_noise", "co2"))
    sigma = noisy["sigma"]
    found = ", ".join(f"{f:.2f} (true {t:.2f})" for f, t in zip(sigma["found"], sigma["true"], strict=True))
    scored = [(r["model"], plots.NAMES.get(r["rule"], ""), r["horizon"], r["count"], *cells(r)) for r in air["scores"]]
    levels = ", ".join(f"{name}: {std:.2f}" for name, std in air["noise_std"].items())
    return "\n".join([
        f"y = x sin x, {toy.POINTS} points without noise in [-5, 5]; {settings['toy_steps']:,} steps, T = {settings['samples']:,}; "
        f"noise level {sine['noise_std']:.2f}", "",
        common.table(("predicted by", "where", *SCORES), [(plots.NAMES[r["rule"]], r["region"], *cells(r)) for r in sine["scores"]]), "",
        f"the same with noise of std 0.2 at -5 to 2.2 at 5, {toy.NOISY_POINTS} points; scored on {toy.FRESH:,} fresh ones", "",
        common.table(("noise", "where", *SCORES), [(r["noise"], r["region"], *cells(r)) for r in noisy["scores"]]), "",
        f"noise std found at -5, 0, 5: {found}; one for all: {sigma['constant']:.2f}",
        f"heteroscedastic against constant: {noisy['gain']:+.3f} ± {noisy['gain_se']:.3f} nats a point (± one standard error)", "",
        f"Mauna Loa CO2, ppm: {co2.MONTHS} months to 1981-03 learned, 469 to 2020-04 scored; {co2.HIDDEN} x {settings['width']} units, "
        f"{settings['steps']:,} full-batch steps, T = {settings['samples']:,}", "",
        common.table(("model", "predicted by", "horizon", "months", *SCORES), scored), "",
        f"noise level, ppm: {levels}; the straight line's: {air['scale']:.2f}", "", NOTES])


def figure(result, shown):
    """Six panels: the toy, functions drawn from it, growing noise; CO2 by two networks, and how far each band held. Its first axis."""
    axes = plots.figure(2, 3, (17, 9))
    sine_panel(result["sine"], shown["sine"], axes[0, 0])
    draws_panel(result["sine"], shown["sine"], axes[0, 1])
    noise_panel(result["growing_noise"], shown["growing_noise"], axes[0, 2])
    for ax, name in zip(axes[1], SHOWN, strict=False):
        ax.sharey(axes[1, 0])  # so that the bands compare
        co2_panel(result["co2"], shown["record"], name, shown["co2"][name], ax)
    coverage_panel(result["co2"], axes[1, 2])
    return axes[0, 0]


def of(rows, **wanted):
    """The one row with these values."""
    found, = (row for row in rows if all(row[key] == value for key, value in wanted.items()))
    return found


def finish(ax, title, x, y, legend):
    ax.set_title(title, fontsize=10)
    ax.set(xlabel=x, ylabel=y)
    ax.grid(True, alpha=0.3)
    ax.legend(fontsize=7, loc=legend)
    return ax


def both_rules(x, bands, ax):
    """The band of MC averaging, and the dashed mean of weight averaging."""
    plots.band(x, bands["mc"].mean, bands["mc"].std, ax, label=plots.NAMES["mc"])
    ax.plot(x, bands["weight-averaging"].mean, plots.LINES["weight-averaging"], color=plots.COLORS["ip"],
            label=plots.NAMES["weight-averaging"])


def sine_panel(scores, data, ax):
    both_rules(data.grid, data.bands, ax)
    truth_and_points(data, ax)
    inside, beyond = (of(scores["scores"], rule="mc", region=region)["coverage_2"] for region in ("between the points", "beyond them"))
    return finish(ax, f"y = x sin x: 2 std hold {inside:.0%} of the truth between the points,\n{beyond:.0%} beyond them", "x", "y",
                  "upper center")


def draws_panel(scores, data, ax):
    plots.functions(data.grid, data.draws, ax)
    truth_and_points(data, ax)
    inner = abs(data.grid) <= toy.INSIDE
    spread = data.draws.std(axis=0, ddof=1)
    beyond = of(scores["scores"], rule="mc", region="beyond them")["rmse"]
    return finish(ax, f"{len(data.draws)} functions drawn from it: their std is {spread[inner].mean():.2f} between the points,\n"
                      f"{spread[~inner].mean():.2f} beyond them, where the mean errs by {beyond:.1f} (RMSE)",
                  "x", "f(x, omega)", "upper center")


def noise_panel(scores, data, ax):
    band, constant = data.bands["heteroscedastic"], data.bands["constant"]
    plots.band(data.grid, band.mean, band.std, ax, label="heteroscedastic")
    for sign in (-2, 2):
        ax.plot(data.grid, constant.mean + sign * constant.std, ":", color=plots.COLORS["none"],
                label="constant noise, 2 std" if sign > 0 else None)
    truth_and_points(data, ax)
    (low, _, high), (true_low, _, true_high) = scores["sigma"]["found"], scores["sigma"]["true"]
    return finish(ax, f"Noise std found {low:.2f} at x = -5, {high:.2f} at 5 (true {true_low:.1f}, {true_high:.1f});\n"
                      f"{scores['gain']:+.2f} ± {scores['gain_se']:.2f} nats a point against constant noise", "x", "y", "lower center")


def truth_and_points(data, ax):
    ax.plot(data.grid, data.truth, "-", color=TRUTH, linewidth=1, label="x sin x")
    ax.plot(data.x, data.y, ".", color=DATA, markersize=4, label="data")


def co2_panel(scores, record, name, bands, ax):
    both_rules(record.time, bands, ax)
    ax.plot(record.time[:co2.MONTHS], record.ppm[:co2.MONTHS], "-", color=DATA, linewidth=0.7, label="learned")
    ax.plot(record.time[co2.MONTHS:], record.ppm[co2.MONTHS:], "-", color=TRUTH, linewidth=0.7, label="what came")
    ax.axvline(record.time[co2.MONTHS], color=DATA, linewidth=0.5)
    near, far = (of(scores["scores"], model=name, rule="mc", horizon=horizon) for horizon in ("year 1", "years 21-39"))
    return finish(ax, f"CO2, {name}: 2 std hold {near['coverage_2']:.0%} of year 1, {far['coverage_2']:.0%} of years 21-39;\n"
                      f"there the mean errs by {far['rmse']:.1f} ppm and the std is {far['std']:.1f} ppm", "year", "ppm", "upper left")


def coverage_panel(scores, ax):
    """The share of months within 2 std, horizon by horizon: every network and rule, and the straight line."""
    horizons = [name for name in co2.HORIZONS if name not in ("window", "all later")]
    rows, names = scores["scores"], list(co2.NETS)
    for model, rule in [(name, rule) for name in names for rule in ("mc", "weight-averaging")] + [(co2.LINE, "")]:
        shares = [100 * of(rows, model=model, rule=rule, horizon=horizon)["coverage_2"] for horizon in horizons]
        color = plots.PALETTE[names.index(model)] if rule else plots.COLORS["none"]
        ax.plot(horizons, shares, plots.LINES.get(rule, ":"), marker=plots.MARKERS.get(rule, "x"), markersize=5, color=color,
                label=f"{model}, {plots.NAMES[rule]}" if rule else model)
    ax.axhline(95.4, color=DATA, linewidth=0.5, label="a calibrated Gaussian band")
    mc, average, line = (of(rows, model=model, rule=rule, horizon="years 11-20")["coverage_2"]
                         for model, rule in ((names[0], "mc"), (names[0], "weight-averaging"), (co2.LINE, "")))
    return finish(ax, f"Years 11-20, {names[0]}: 2 std of MC averaging hold {mc:.0%},\nof weight averaging {average:.0%}; "
                      f"the straight line's {line:.0%}", "after the last month learned", "months within 2 std, %", "lower left")
