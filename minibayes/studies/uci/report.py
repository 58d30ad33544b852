"""What the scores of all splits say: means and standard errors beside the published, table and figure."""

from ... import plots
from .. import common

RULES = ("mc", "weight-averaging")
SCORES = {"rmse": "RMSE", "log_likelihood": "log-likelihood"}
UNITS = {"rmse": "units of the target (less is better)", "log_likelihood": "nats (more is better)"}
PUBLISHED_SPLITS, PUBLISHED_SAMPLES = 20, 10_000

# (mean, standard error over the 20 splits) of RMSE and log-likelihood (nats a datum), one hidden layer of 50:
# arXiv 1506.02142, table 1 (its first column: probabilistic back-propagation, arXiv 1502.05336), and those of
# github.com/yaringal/DropoutUncertaintyExps at a6259f1 (2016) and 6eb4497 (2018).
PBP, PAPER = "probabilistic back-propagation", "paper, 400 epochs"
TEN_TIMES, GRID = "4000 epochs, 2016", "4000 epochs, grid search, 2018"
PUBLISHED = {
    "boston": {PBP: ((3.01, None), (-2.57, None)), PAPER: ((2.97, 0.19), (-2.46, 0.06)),
               TEN_TIMES: ((2.80, 0.19), (-2.39, 0.05)), GRID: ((2.90, 0.18), (-2.40, 0.04))},
    "concrete": {PBP: ((5.67, None), (-3.16, None)), PAPER: ((5.23, 0.12), (-3.04, 0.02)),
                 TEN_TIMES: ((4.81, 0.14), (-2.94, 0.02)), GRID: ((4.82, 0.16), (-2.93, 0.02))},
}
# Of a q that learns: Bayes by Backprop on these splits by a replication, whose ± are standard deviations
# over the 20 splits (here over sqrt(20)), and its own dropout, without ±.
REPLICATION, ITS_DROPOUT = "Bayes by Backprop, a replication", "dropout, the same replication"
BESIDE = {"boston": {REPLICATION: ((3.313, 0.215), (-2.638, 0.091)),
                     ITS_DROPOUT: ((2.788, None), (-2.391, None))},
          "concrete": {REPLICATION: ((5.789, None), (-3.260, None)),
                       ITS_DROPOUT: ((5.317, None), (-3.066, None))}}
SAME_EPOCHS = {400: (PAPER,), 4000: (TEN_TIMES, GRID)}
NOTES = (
    "±: the standard error of the mean over splits. "
    "The splits overlap, so it is no error bar for other data; paired differences are sharper.\n"
    "weight averaging: one pass with z replaced by E[z]. "
    "log-likelihood: nats per datum, of y in its own units.")
PUBLISHED_NOTES = (
    "published: paper and 2016 took keep and tau from one Bayesian optimisation for all splits, "
    "which had seen some of their test rows; 2018\n"
    "searches the grid in every split, as here. "
    "Their ± divide by n where ours divide by n - 1, which makes 2.5 %.")


LEARNED_NOTES = (
    "published: on the same 20 splits, with settings of their own. Of concrete dropout no figures on these "
    "splits are known here.")


def learns(settings: dict) -> bool:
    """Whether q learns its noise, so that there is no keep to choose."""
    return settings.get("q", "dropout") != "dropout"


def comparable(settings: dict) -> bool:
    """Whether the run had the published settings, so that the published figures may stand beside it."""
    if learns(settings):
        return not settings["csv"] and settings["splits"] == PUBLISHED_SPLITS
    return (not settings["csv"] and settings["epochs"] in SAME_EPOCHS
            and settings["splits"] == PUBLISHED_SPLITS and settings["samples"] == PUBLISHED_SAMPLES)


def summarise(result: dict) -> list[dict]:
    """For each data set {"data", rule: {score: {"mean", "se"}}, "difference": MC - averaging, "published"}.

    A published figure's "distance" is (ours by MC - published)/(its standard error), where it was trained for
    as many epochs.
    """
    out = []
    for name in result["data"]:
        rows = [r for r in result["results"] if r["data"] == name]
        entry = {"data": name}
        for rule in RULES:
            entry[rule] = {score: statistic([r[rule][score] for r in rows]) for score in SCORES}
        mc, average = RULES
        entry["difference"] = {score: statistic([r[mc][score] - r[average][score] for r in rows])
                               for score in SCORES}
        entry["published"] = published(entry, result["settings"]) if comparable(result["settings"]) else []
        out.append(entry)
    return out


def published(entry: dict, settings: dict) -> list[dict]:
    """The published figures of the entry's data set, and how far from them it is."""
    lines, known = [], BESIDE if learns(settings) else PUBLISHED
    for source, figures in known.get(entry["data"], {}).items():
        line = {"source": source}
        for score, (mean, se) in zip(SCORES, figures, strict=True):
            line[score] = {"mean": mean, "se": se}
        same = not learns(settings) and source in SAME_EPOCHS[settings["epochs"]]
        line["distance"] = {score: (entry["mc"][score]["mean"] - line[score]["mean"]) / line[score]["se"]
                            for score in SCORES} if same else None
        lines.append(line)
    return lines


def statistic(values: list[float]) -> dict[str, float | None]:
    mean, se = common.mean_and_error(values)
    return {"mean": mean, "se": se}


def pm(statistic: dict, form: str = ".2f") -> str:
    """'2.85 ± 0.18', or the mean alone."""
    error = "" if statistic["se"] is None else f" ± {statistic['se']:{form.lstrip('+')}}"
    return f"{statistic['mean']:{form}}{error}"


def difference_of(entry: dict) -> str:
    """MC minus weight averaging, in words."""
    figures = (f"{SCORES[s]} {pm(entry['difference'][s], '+.3f')}" for s in SCORES)
    return "MC minus weight averaging on the same weights: " + ", ".join(figures)


def summary_table(result: dict) -> str:
    """The printed table: for each data set our rules, the published figures and distances, the difference."""
    settings, lines = result["settings"], []
    for entry in result["summary"]:
        about = result["data"][entry["data"]]
        lines += [f"{entry['data']}: {about['rows']:,} rows, {about['features']} features, "
                  f"target {about['target']}; {settings['splits']} splits, {settings['epochs']} epochs, "
                  f"T = {settings['samples']:,}" + (f"; q: {settings['q']}" if learns(settings) else "")]
        rows = [(plots.NAMES[rule] + (", same weights" if rule != "mc" else ""),
                 *(pm(entry[rule][s]) for s in SCORES), "") for rule in RULES]
        for line in entry["published"]:
            distance = line["distance"]
            rows.append((f"published: {line['source']}", *(pm(line[s]) for s in SCORES),
                         "-" if distance is None else ", ".join(f"{distance[s]:+.1f}" for s in SCORES)))
        header = ("", *SCORES.values(), "ours - published, in its ±" if entry["published"] else "")
        lines += [common.table(header, rows).rstrip(),
                  difference_of(entry), "chosen: " + chosen(result, entry["data"]), ""]
    beside = any(entry["published"] for entry in result["summary"])
    of_published = LEARNED_NOTES if learns(settings) else PUBLISHED_NOTES
    return "\n".join([*lines, NOTES, *[of_published] * beside])


def chosen(result: dict, name: str) -> str:
    """How often the grid search took which keep and tau; or what was learned, and which tau was taken."""
    rows = [r for r in result["results"] if r["data"] == name]

    def counts(key: str) -> str:
        values = [r[key] for r in rows]
        return ", ".join(f"{value:.3g} ({values.count(value)} x)" for value in sorted(set(values)))

    taus = [r["tau"] for r in rows]
    few = result["data"][name]["taus"] is not None
    settings = result["settings"]
    noise = learned(rows, settings["q"]) if learns(settings) else f"keep {counts('keep')}"
    return f"{noise}; tau {counts('tau') if few else f'{min(taus):.3g} to {max(taus):.3g}'}"


def learned(rows: list[dict], q: str) -> str:
    """'keep 0.93, 0.88 learned', or the same of sqrt(Var[z]): of each layer, means over the splits."""
    name, part = ("keep", "mean") if q == "concrete" else ("sd of z", "sd")
    means = (sum(r["learned"][layer][part] for r in rows) / len(rows) for layer in rows[0]["learned"])
    return f"{name} {', '.join(f'{value:.3g}' for value in means)} learned"


def finding(result: dict) -> str:
    """The figure's title: how far from the published figures, and MC against weight averaging."""
    compared = [(entry["data"], line, score) for entry in result["summary"]
                for line in entry["published"] if line["distance"] for score in SCORES]
    far = [f"{SCORES[score]} on {name}: {line['distance'][score]:+.1f} against {line['source']}"
           for name, line, score in compared if abs(line["distance"][score]) > 2]
    lines = [f"q: {result['settings']['q']}"] if learns(result["settings"]) else []
    if compared and not far:
        lines.append("Within two standard errors of the published figures "
                     f"for {result['settings']['epochs']} epochs")
    elif far:
        lines += ["More than two standard errors from the published figures:", *far]
    return "\n".join([*lines, *(f"{entry['data']}: {difference_of(entry)}" for entry in result["summary"])])


def figure(result: dict) -> plots.Axes:
    """The figure: a row of panels for each data set, a panel for each score. Its first axis."""
    heights = [1.1 + 0.35 * len(lines_of(result, entry, "rmse")) for entry in result["summary"]]
    axes = plots.figure(len(result["summary"]), len(SCORES), (11, 1 + sum(heights)))
    for row, entry in zip(axes, result["summary"], strict=True):
        for ax, score in zip(row, SCORES, strict=True):
            title = f"{entry['data']}: {SCORES[score]}, {UNITS[score]}"
            plots.score_lines(lines_of(result, entry, score), title, ax)
        row[-1].tick_params(labelleft=False)
    axes[0, 0].figure.suptitle(finding(result), fontsize=11)
    return axes[0, 0]


def lines_of(result: dict, entry: dict, score: str) -> list[dict]:
    """What one panel draws: our two rules with a dot for every split, then the published figures."""
    rows = [r for r in result["results"] if r["data"] == entry["data"]]
    return [*({"label": plots.NAMES[rule], "values": [r[rule][score] for r in rows], "color": color}
              | entry[rule][score] for rule, color in zip(RULES, ("all", "ip"), strict=True)),
            *({"label": f"published: {line['source']}", "values": [], "color": "none"}
              | line[score] for line in entry["published"])]
