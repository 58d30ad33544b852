"""The README's code blocks run as pasted (on fewer images), and its commands are the ones that CI runs."""

import re
from pathlib import Path

import numpy as np
import pytest

from minibayes import data

README = Path(__file__).parent.parent / "README.md"
PARTS = re.split(r"^## ", README.read_text(), flags=re.MULTILINE)
OWN = next(part for part in PARTS if part.startswith("Your own layer"))


def python(text):
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


BLOCKS = python("".join(part for part in PARTS if part is not OWN))


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
