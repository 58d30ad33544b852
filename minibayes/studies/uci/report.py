"""What the scores of all splits say: means with standard errors, the published figures beside them, the table and the figure's lines."""

from ... import plots
from .. import common

RULES = ("mc", "weight-averaging")
SCORES = {"rmse": "RMSE", "log_likelihood": "log-likelihood"}
UNITS = {"rmse": "units of the target (less is better)", "log_likelihood": "nats (more is better)"}
PUBLISHED_SPLITS, PUBLISHED_SAMPLES = 20, 10_000

# (mean, standard error over the 20 splits) of RMSE and log-likelihood (nats per datum), one hidden layer of 50. Sources:
# arXiv 1506.02142 table 1 (its first column is probabilistic back-propagation, arXiv 1502.05336), and the results tables of
# github.com/yaringal/DropoutUncertaintyExps at a6259f1 (2016) and 6eb4497 (2018).
PBP, PAPER, TEN_TIMES, GRID = ("probabilistic back-propagation", "paper, 400 epochs", "4000 epochs, 2016", "4000 epochs, grid search, 2018")
PUBLISHED = {
    "boston": {PBP: ((3.01, None), (-2.57, None)), PAPER: ((2.97, 0.19), (-2.46, 0.06)), TEN_TIMES: ((2.80, 0.19), (-2.39, 0.05)),
               GRID: ((2.90, 0.18), (-2.40, 0.04))},
    "concrete": {PBP: ((5.67, None), (-3.16, None)), PAPER: ((5.23, 0.12), (-3.04, 0.02)), TEN_TIMES: ((4.81, 0.14), (-2.94, 0.02)),
                 GRID: ((4.82, 0.16), (-2.93, 0.02))},
}
SAME_EPOCHS = {400: (PAPER,), 4000: (TEN_TIMES, GRID)}
NOTES = """\
±: the standard error of the mean over splits. The splits overlap, so it is no error bar for other data; paired differences are sharper.
weight averaging: one pass with z replaced by E[z]. log-likelihood: nats per datum, of y in its own units."""
PUBLISHED_NOTES = """\
published: paper and 2016 took keep and tau from one Bayesian optimisation for all splits, which had seen some of their test rows; 2018
searches the grid in every split, as here. Their ± divide by n where ours divide by n - 1, which makes 2.5 %."""


def comparable(settings):
    """Whether the run had the published settings, so that the published figures may stand beside it."""
    return (not settings["csv"] and settings["epochs"] in SAME_EPOCHS and settings["splits"] == PUBLISHED_SPLITS
            and settings["samples"] == PUBLISHED_SAMPLES)


def summarise(result):
    """One entry per data set: {"data", rule: {score: {"mean", "se"}}, "difference": MC minus weight averaging, "published": [...]}.

    A published figure's "distance" is (ours by MC - published)/(its standard error), where it was trained for as many epochs.
    """
    out = []
    for name in result["data"]:
        rows = [r for r in result["results"] if r["data"] == name]
        values = {rule: {score: [r[rule][score] for r in rows] for score in SCORES} for rule in RULES}
        entry = {"data": name} | {rule: {score: statistic(v) for score, v in values[rule].items()} for rule in RULES}
        entry["difference"] = {score: statistic([a - b for a, b in zip(*(values[rule][score] for rule in RULES), strict=True)])
                               for score in SCORES}
        entry["published"] = []
        if comparable(result["settings"]):
            for source, figures in PUBLISHED.get(name, {}).items():
                same = source in SAME_EPOCHS[result["settings"]["epochs"]]
                line = {"source": source} | {s: {"mean": mean, "se": se} for s, (mean, se) in zip(SCORES, figures, strict=True)}
                line["distance"] = {s: (entry["mc"][s]["mean"] - line[s]["mean"]) / line[s]["se"] for s in SCORES} if same else None
                entry["published"].append(line)
        out.append(entry)
    return out


def statistic(values):
    mean, se = common.mean_and_error(values)
    return {"mean": mean, "se": se}


def shown(statistic, form=".2f"):
    """'2.85 ± 0.18', or the mean alone."""
    error = "" if statistic["se"] is None else f" ± {statistic['se']:{form.lstrip('+')}}"
    return f"{statistic['mean']:{form}}{error}"


def difference_of(entry):
    """MC minus weight averaging, in words."""
    figures = (f"{SCORES[s]} {shown(entry['difference'][s], '+.3f')}" for s in SCORES)
    return "MC minus weight averaging on the same weights: " + ", ".join(figures)


def summary_table(result):
    """The printed table: for each data set our two rules, the published figures, the paired difference, the distances."""
    settings, lines = result["settings"], []
    for entry in result["summary"]:
        about = result["data"][entry["data"]]
        lines += [f"{entry['data']}: {about['rows']:,} rows, {about['features']} features, target {about['target']}; "
                  f"{settings['splits']} splits, {settings['epochs']} epochs, T = {settings['samples']:,}"]
        rows = [(f"{plots.NAMES[rule]}{', same weights' if rule != 'mc' else ''}", *(shown(entry[rule][s]) for s in SCORES), "")
                for rule in RULES]
        for line in entry["published"]:
            distance = line["distance"]
            rows.append((f"published: {line['source']}", *(shown(line[s]) for s in SCORES),
                         "-" if distance is None else ", ".join(f"{distance[s]:+.1f}" for s in SCORES)))
        header = ("", *SCORES.values(), "ours - published, in its ±" if entry["published"] else "")
        lines += [common.table(header, rows).rstrip(),
                  difference_of(entry), "chosen: " + chosen(result, entry["data"]), ""]
    return "\n".join([*lines, NOTES, *([PUBLISHED_NOTES] if any(e["published"] for e in result["summary"]) else [])])


def chosen(result, name):
    """How often the grid search took which keep and tau."""
    rows = [r for r in result["results"] if r["data"] == name]
    counts = [", ".join(f"{value:.3g} ({[r[key] for r in rows].count(value)} x)" for value in sorted({r[key] for r in rows}))
              for key in ("keep", "tau")]
    tau = counts[1] if result["data"][name]["taus"] else "{:.3g} to {:.3g}".format(*(f(r["tau"] for r in rows) for f in (min, max)))
    return f"keep {counts[0]}; tau {tau}"


def finding(result):
    """The figure's title, in what the numbers show: how far from the published figures, and MC against weight averaging."""
    compared = [(entry["data"], line, score) for entry in result["summary"] for line in entry["published"] if line["distance"]
                for score in SCORES]
    far = [f"{SCORES[score]} on {name}: {line['distance'][score]:+.1f} against {line['source']}"
           for name, line, score in compared if abs(line["distance"][score]) > 2]
    lines = []
    if compared and not far:
        lines.append(f"Within two standard errors of the published figures for {result['settings']['epochs']} epochs")
    elif far:
        lines += ["More than two standard errors from the published figures:", *far]
    return "\n".join([*lines, *(f"{entry['data']}: {difference_of(entry)}" for entry in result["summary"])])


def draw(result):
    """The figure: a row of panels for each data set, a panel for each score. Its first axis."""
    heights = [1.1 + 0.35 * len(lines_of(result, entry, "rmse")) for entry in result["summary"]]
    axes = plots.figure(len(result["summary"]), len(SCORES), (11, 1 + sum(heights)))
    for row, entry in zip(axes, result["summary"], strict=True):
        for ax, score in zip(row, SCORES, strict=True):
            plots.score_lines(lines_of(result, entry, score), f"{entry['data']}: {SCORES[score]}, {UNITS[score]}", ax)
        row[-1].tick_params(labelleft=False)
    axes[0, 0].figure.suptitle(finding(result), fontsize=11)
    return axes[0, 0]


def lines_of(result, entry, score):
    """What one panel draws: our two rules with a dot for every split, then the published figures."""
    rows = [r for r in result["results"] if r["data"] == entry["data"]]
    lines = [{"label": plots.NAMES[rule], "values": [r[rule][score] for r in rows], "color": color} | entry[rule][score]
             for rule, color in zip(RULES, ("all", "ip"), strict=True)]
    return lines + [{"label": f"published: {line['source']}", "values": [], "color": "none"} | line[score] for line in entry["published"]]
