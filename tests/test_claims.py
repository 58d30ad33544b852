"""Every claim, by name; and the command that prints them: lines, JSON, one alone, and one that fails."""

import functools
import json
import math
import re

import numpy as np
import pytest

from minibayes import __main__, claims, nn
from minibayes.bayes import kl
from minibayes.claims import Finding, objective_training, weights
from minibayes.studies import check

NAMES = [name for names in claims.FINDINGS.values() for name in names]


LONG = {"posterior.tiny_net", "posterior_one_weight.one_weight_trained", "posterior_dropout_linear.linear",
        "codes.probabilistic_pca", "posterior_groups.hierarchical", "posterior_schools.eight_schools",
        "sharing.code_is_evidence"}


@functools.cache
def findings(function):
    return function()


def case(function):
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    return pytest.param(function, marks=[pytest.mark.slow] * (name in LONG), id=name)


@pytest.mark.parametrize("function", [case(function) for function in claims.FINDINGS])
def test_claims(function):
    """All findings of a function pass, and are those that its table of contents names."""
    found = findings(function)
    assert tuple(finding.name for finding in found) == claims.FINDINGS[function]
    for finding in found:
        assert finding.passed, check.line(finding)
        assert isinstance(float(finding.discrepancy), float) and 0 <= finding.tolerance < math.inf
        assert finding.name == finding.name.lower().replace(" ", "-")
        for text in (finding.claim, finding.computed, finding.why):
            assert text and text.strip() == text and "\n" not in text and "  " not in text


def test_the_table_of_contents():
    """Every function of the files, in the poster's order; a name begins with the topic of its file."""
    assert tuple(claims.FINDINGS) == claims.CLAIMS and len(set(NAMES)) == len(NAMES) >= 45
    for function, names in claims.FINDINGS.items():
        topic, _, _ = function.__module__.rpartition(".")[2].partition("_")
        assert all(name.startswith(f"{topic}-") for name in names)
    topics = dict.fromkeys(name.partition("-")[0] for name in NAMES)
    assert " ".join(topics) == "weights objective kl prediction uncertainty prior derivatives sequences posterior codes sharing"


def test_a_finding_passes_up_to_its_tolerance():
    finding = Finding("a", "claim", "computed", 0.5, 0.5, "why")
    assert finding.passed and not Finding("a", "claim", "computed", 0.6, 0.5, "why").passed
    assert not Finding("a", "claim", "computed", math.nan, 0.5, "why").passed


def test_deterministic():
    assert weights.dense() == findings(weights.dense)


# ---------------------------------------------------------------------------------------------- the command

@pytest.fixture
def few(monkeypatch):
    """The command with the claims about weights only."""
    chosen = {f: names for f, names in claims.FINDINGS.items() if f.__module__ == weights.__name__}
    monkeypatch.setattr(claims, "FINDINGS", chosen)


def run(*argv):
    return __main__.main(["check", *argv])


def test_lines(few, capsys):
    assert run() == 0
    out, err = capsys.readouterr()
    *lines, last = out.splitlines()
    assert err == "" and last == f"all {len(lines)} claims hold"
    names = [name for names in claims.FINDINGS.values() for name in names]
    for name, line in zip(names, lines, strict=True):
        assert re.fullmatch(rf"pass  {name}: .+ \| .+: [\d.e+-]+ <= [\d.e+-]+ \(.+\)", line)


def test_json(few, capsys):
    assert run("--json") == 0
    found = json.loads(capsys.readouterr().out)
    names = [name for names in claims.FINDINGS.values() for name in names]
    assert list(found) == ["claims"] and [c["name"] for c in found["claims"]] == names
    for c in found["claims"]:
        assert list(c) == ["name", "claim", "computed", "discrepancy", "tolerance", "why", "passed"]
        assert c["passed"] is True and 0 <= c["discrepancy"] <= c["tolerance"]
        assert all(isinstance(c[key], str) and c[key] for key in ("name", "claim", "computed", "why"))


@pytest.mark.parametrize("only, names", [
    ("prediction-max-pool", ["prediction-max-pool"]),  # a name, although another begins with it
    ("prediction-max-pool-rule", ["prediction-max-pool-rule"]),
    ("derivatives-max", ["derivatives-max-pool", "derivatives-max-pool-mass"]),
    ("weights", [n for n in NAMES if n.startswith("weights-")]),
])
def test_only(only, names, capsys):
    assert run("--json", "--only", only) == 0
    assert [c["name"] for c in json.loads(capsys.readouterr().out)["claims"]] == names


def test_only_runs_what_it_needs(monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(claims, "find", lambda function: ran.append(function) or function())
    assert run("--only", "derivatives-tanh") == 0 and len(ran) == 1
    assert capsys.readouterr().out.endswith("\nthe claim holds\n")


@pytest.mark.parametrize("only", ["weight", "dense", "weights-", "", "WEIGHTS", "weights-dense "])
def test_unknown_name(only, monkeypatch, capsys):
    monkeypatch.setattr(claims, "find", lambda function: pytest.fail("work began"))
    assert run("--only", only) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("minibayes check: error: --only must be the name of a claim, or how some begin, "
                          f"got {only!r}; the names are ")
    assert all(name in err for name in NAMES)


def test_a_claim_that_fails(few, monkeypatch, capsys):
    """A layer whose backward forgets the mask: its claim fails, and others still hold."""
    true = nn.Dense.backward

    def backward(self, params, cache, df, **options):
        _, grads = true(self, params, cache, df, **options)
        return df @ params["M"], grads

    monkeypatch.setattr(nn.Dense, "backward", backward)
    assert run() == 1
    out, err = capsys.readouterr()
    assert err == "" and out.splitlines()[-1] == "1 of 6 claims fail: weights-dense-gradient"
    failed = next(line for line in out.splitlines() if "weights-dense-gradient:" in line)
    assert re.search(r"^FAIL .* [\d.]+ is not <= \d\.\de-13 \(", failed)
    assert sum(line.startswith("pass  ") for line in out.splitlines()) == 5
    assert run("--json") == 1
    found = {c["name"]: c["passed"] for c in json.loads(capsys.readouterr().out)["claims"]}
    assert [name for name, passed in found.items() if not passed] == ["weights-dense-gradient"]


def test_a_claim_that_cannot_be_computed(few, monkeypatch, capsys):
    """It fails, and says with what; null stands for the discrepancy in JSON."""
    def forward(self, params, x, z=1):
        raise ZeroDivisionError("of all\nthings")

    monkeypatch.setattr(nn.Conv2d, "forward", forward)
    assert run("--json") == 1
    found = {c["name"]: c for c in json.loads(capsys.readouterr().out)["claims"]}
    assert found["weights-dense"]["passed"] and not found["weights-conv"]["passed"]
    said = "ZeroDivisionError: of all things"
    assert found["weights-conv"]["discrepancy"] is None and found["weights-conv"]["computed"] == said
    assert run() == 1
    line = f"FAIL  weights-conv: could not be computed | {said}: nan is not <= 0 ("
    assert line in capsys.readouterr().out


def test_wrapped_for_a_terminal():
    finding = Finding("a-b", "one two three " * 10, "four five " * 10, 1e-16, 2e-13, "rounding")
    lines = check.line(finding, 60).splitlines()
    assert len(lines) > 4 and all(len(text) <= 60 for text in lines)
    assert lines[0].startswith("pass  a-b: one two") and all(text.startswith("      ") for text in lines[1:])
    assert lines[-1].endswith("<= 2e-13 (rounding)")


def test_a_wrong_kl_is_caught(monkeypatch):
    """KL scaled as if N were a minibatch's size, and no weight decay: what the objective's claims are for."""
    true = kl.grad
    monkeypatch.setattr(kl, "grad", lambda net, params, prior, num_data=1: true(net, params, prior, 32))
    assert not all(f.passed for f in objective_training.training())

    def none(*args, **kwargs):
        grads = true(*args, **kwargs)
        return {name: {p: np.zeros_like(g) for p, g in group.items()} for name, group in grads.items()}

    monkeypatch.setattr(kl, "grad", none)
    assert not all(f.passed for f in objective_training.weight_decay())
