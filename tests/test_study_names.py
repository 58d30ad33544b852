"""The study names: its groups of words, its rulers, and that it runs to the end with the same numbers on any threads."""

import json

import matplotlib.image
import pytest
from executors import Inline

from minibayes import data
from minibayes.__main__ import main
from minibayes.studies import names


def test_words_are_numbers_of_letters():
    x = names.encoded(["kim", "anne-marie"])
    assert x.shape == (2, 15) and (x[0] == [10, 8, 12, *[-1] * 12]).all() and x[1, 4] == 26


def test_the_data_are_the_published_ones_and_the_rulers_hold():
    female, male = names.lists()
    everyone = sorted(female | male)
    assert (len(female), len(male), len(female & male)) == (4944, 3897, 419)
    train = names.labelled([n for n in everyone if names.trains(n)], female, male)
    test = names.labelled([n for n in everyone if not names.trains(n)], female, male)
    assert len(train[0]) + len(test[0]) == 8841 and not set(train[0]) & set(test[0])
    assert names.ending_rule(*train, *test) == pytest.approx(0.768, abs=0.002)
    labels = dict.fromkeys(test[0], 0)
    for name in labels:
        labels[name] = sum(n == name for n in test[0]) if name in female & male else 1
    assert all(count == (2 if name in female & male else 1) for name, count in labels.items())


def test_nonsense_is_in_no_list():
    female, male = names.lists()
    held_out = [n for n in sorted(female | male) if not names.trains(n)]
    groups = names.nonsense(held_out, female | male, 0, 300)
    assert list(groups) == list(names.NONSENSE)
    for words in groups.values():
        assert 250 < len(words) <= 300 == len({*words} | {*map(str, range(300 - len(words)))}) and not set(words) & (female | male)
    assert any(w[::-1] in female for w in groups["reversed names"])
    assert all(max(map(len, words)) <= names.LONGEST for words in groups.values())


@pytest.fixture
def few_names(monkeypatch):
    full = data.names()
    text = data.moby_dick()[:10_000]
    monkeypatch.setattr(data, "names", lambda: tuple([*part[::80], "Kim", "Sandy", "Leslie"] for part in full))
    monkeypatch.setattr(data, "moby_dick", lambda: text)


def test_table_figure_json_and_the_same_in_an_executor(few_names, tmp_path, capsys):
    few = ["names", "--quick", "--epochs", "1", "--samples", "3", "--units", "8", "--seeds", "2", "--out", str(tmp_path)]
    assert main([*few, "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 170 and "nan" not in out.lower() and "+-" in out
    result = json.loads((tmp_path / "names.json").read_text())
    again, _ = names.Names().run(result["settings"], executor=Inline())
    assert {name: result[name] for name in again} == again
    run = result["runs"][1]
    assert [r["seed"] for r in result["runs"]] == [0, 1] and set(run["expected_entropy"]["kinds"]) == set(names.NONSENSE)
    assert 0 <= run["accuracy"] <= result["rulers"]["ceiling"] <= 1
    picture = matplotlib.image.imread(tmp_path / "names.png")
    assert min(picture.shape[:2]) > 1000 and picture[..., :3].std() > 0.05
    assert main(["names", "--units", "0"]) == 2
