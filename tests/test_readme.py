"""The README's code blocks run as pasted (on fewer images), and its commands are the ones that CI runs."""

import re
from pathlib import Path

import numpy as np
import pytest

import minibayes as mb
from minibayes import __main__, data

README = Path(__file__).parent.parent / "README.md"
PARTS = re.split(r"^## ", README.read_text(), flags=re.MULTILINE)
OWN = next(part for part in PARTS if part.startswith("Your own layer"))
HAVE = next(part for part in PARTS if part.startswith("A problem of your own"))


def python(text):
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


BLOCKS = python("".join(part for part in PARTS if part not in (OWN, HAVE)))


@pytest.fixture
def few_images(monkeypatch):
    full = data.mnist()
    monkeypatch.setattr(data, "mnist", lambda: (full[0][:1500], full[1][:1500], full[2][:200], full[3][:200]))


def test_there_are_two_levels_of_code():
    assert len(BLOCKS) == 2 and len(BLOCKS[0].splitlines()) <= 18


def test_first_level(few_images, capsys):
    scope = {}
    exec(compile(BLOCKS[0], "README.md", "exec"), scope)
    assert re.search(r"test error: MC \d+\.\d\d%, weight averaging \d+\.\d\d%\nmost uncertain digit: \d+", capsys.readouterr().out)
    assert scope["mc"].mean.shape == (200, 10) and scope["mc"].num_samples == 20


def test_second_level():
    scope = {}
    exec(compile(BLOCKS[1], "README.md", "exec"), scope)
    assert np.shape(scope["passes"]) == (50, 256, 3)
    loss = scope["likelihood"].nll(scope["f"], scope["y"])[0].mean()
    assert loss < np.log(3)  # it fits its own noise a little better than guessing


def test_a_problem_of_your_own(few_images, tmp_path, monkeypatch, capsys):
    """What one has, in ten lines each; with short fits, whose scores say nothing."""
    fit, predict = mb.BayesianNetwork.fit, mb.BayesianNetwork.predict
    monkeypatch.setattr(mb.BayesianNetwork, "fit", lambda *args, **options: fit(*args, **options | {"epochs": 0.5}))
    monkeypatch.setattr(mb.BayesianNetwork, "predict", lambda *args, **options: predict(*args, **options | {"samples": 4}))
    monkeypatch.chdir(tmp_path)
    blocks = python(HAVE)
    assert len(blocks) == 4 and HAVE.count("**You ") == 5
    for block in blocks:
        assert len([line for line in block.splitlines() if line and not line.startswith(("import", "from"))]) <= 10
        exec(compile(block, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert re.search(r"R\^2 -?\d.*least known: \d+.*of the truths; expected 0.90\d \+- 0.0\d\d.*error \d", out, re.DOTALL), out
    assert mb.load(tmp_path / "houses.npz").predict(data.boston().x).shape == (506,)


def test_the_commands_for_a_table_of_your_own():
    commands = re.search(r"```sh\n(.*?)```", HAVE, re.DOTALL)[1].splitlines()
    for line in commands:
        parser = __main__.build_parser()
        parser.parse_args(line.partition("#")[0].split()[1:])  # an unknown option would end the test


def test_your_own_layer_noise_likelihood_prior(capsys):
    scope = {"__name__": "readme"}
    assert len(OWN.splitlines()) < 50  # one screen
    block, = python(OWN)
    exec(compile(block, "README.md", "exec"), scope)
    verdicts = [line for line in capsys.readouterr().out.splitlines() if line and not line.startswith(" ")]
    assert len(verdicts) == 4 and all(line.endswith("passes") for line in verdicts), verdicts
    model = scope["model"]
    x = np.random.default_rng(0).standard_normal((60, 2))
    history = model.fit(x, np.random.default_rng(1).exponential(np.exp(x[:, 0])), epochs=20, report_every=4)
    assert history[-1]["loss"] < history[0]["loss"] and (model.predict(x, samples=5).mean > 0).all()


def test_every_file_the_map_names_exists():
    root = README.parent / "minibayes"
    named = set(re.findall(r"`((?:nn/|bayes/|bayes/rules/|studies/|kernels/|fast/|truth/)?\w+\.py)`", README.read_text()))
    assert len(named) >= 15
    assert all((root / name).is_file() for name in named), [n for n in named if not (root / n).is_file()]


def test_the_commands_are_marked_for_ci():
    text = README.read_text()
    for mark, ending in (("main-job", ".venv/bin/minibayes mnist"), ("test-job", ".venv/bin/python -m pytest")):
        block = re.search(rf"<!-- {mark} -->\n```sh\n(.*?)\n```", text, re.DOTALL)
        assert block and block[1].endswith(ending)
