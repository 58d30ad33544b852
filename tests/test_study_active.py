"""The study active on few images: who chooses what, what is counted, and that it goes on where it was interrupted."""

import json

import matplotlib.image
import numpy as np
import pytest
from executors import Inline, instead_of_processes

import minibayes
from minibayes import data
from minibayes.__main__ import main
from minibayes.spread import Record
from minibayes.studies import active

SETTINGS = {"seeds": [1], "labels": 30, "pool": 40, "steps": 2, "samples": 2, "test": 50, "quick": True}
ARGV = ["active", "--quick", "--labels", "30", "--pool", "40", "--steps", "2", "--samples", "2", "--seed", "1", "--seeds", "1"]


@pytest.fixture(scope="module", autouse=True)
def few_images():
    full = data.mnist()
    few = (full[0][:300], full[1][:300], full[2][:100], full[3][:100])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "mnist", lambda: few)
        patch.setitem(active.Active.quick, "test", 50)
        yield


def test_every_method_begins_alike_and_copies_are_copies():
    once, twice = active.problem(60, 1, 50, 3), active.problem(60, 2, 50, 3)
    x, y = once["pool"]
    assert (np.bincount(y[once["start"]]) == 2).all() and len(x) == 60 and len({image.tobytes() for image in x}) == 60
    assert (twice["pool"][0] == np.concatenate([x, x])).all() and (twice["pool"][1] == np.concatenate([y, y])).all()
    assert (twice["start"] == once["start"]).all() and len(once["test"][0]) == len(once["test"][1]) == 50
    assert (active.problem(60, 1, 50, 4)["pool"][0] != x).any()


@pytest.fixture(scope="module")
def done():
    """Also: a seed is one of several, and any executor from Python does it."""
    return active.Active().run(SETTINGS, executor=Inline())[0]


def test_the_same_in_an_executor_interrupted_and_gone_on(done, tmp_path, monkeypatch, capsys):
    """The executor dies after five of nine loops: one line, and the same command does the other four, here."""
    argv = [*ARGV, "--out", str(tmp_path)]
    instead_of_processes(monkeypatch, dies=5)
    assert main([*argv, "--processes", "2"]) == 2
    out, err = capsys.readouterr()
    part = tmp_path / "active.part.json"
    assert out == "" and err.count("\n") == 1 and f"after 5 of 9 jobs: they are in {part}" in err
    assert len(Record(part).results) == 5 and not (tmp_path / "active.json").exists()
    loops, rounds = [], minibayes.active.rounds
    monkeypatch.setattr(minibayes.active, "rounds", lambda *args, **given: loops.append(1) or rounds(*args, **given))
    assert main(argv) == 0
    assert len(loops) == 4 and not part.exists()
    result = json.loads((tmp_path / "active.json").read_text())
    assert result["runs"] == done["runs"]
    out = capsys.readouterr().out
    assert out == active.summary_table(result) + "\n" and max(map(len, out.splitlines())) <= 170 and "nan" not in out
    picture = matplotlib.image.imread(tmp_path / "active.png")
    assert min(picture.shape[:2]) > 500 and picture[..., :3].std() > 0.05


def test_loops_are_whole(done):
    assert [(r["how"], r["copies"]) for r in done["runs"][:9]] == [
        (how, copies) for copies in (1, 2, 5) for how in ("random", "top", "batch")]
    assert all(run["labels"] == [20, 30] for run in done["runs"])
    first = {run["errors"][0] for run in done["runs"]}
    assert len(first) == 1, "all begin with the same labels and the same network"


def made_up(errors):
    """A result whose runs have these errors {(how, copies): [of each seed]} at 20, 30, ..., in %."""
    runs = [{"how": how, "copies": copies, "seed": seed, "labels": [20 + 10 * i for i in range(len(one))],
             "errors": [e / 100 for e in one]} for (how, copies), seeds in errors.items() for seed, one in enumerate(seeds)]
    settings = SETTINGS | {"labels": 40, "copies": [1], "shown": [30, 40], "compared": 30}
    return {"settings": settings, "runs": runs}


def test_what_the_table_counts():
    result = made_up({("random", 1): [[30, 20, 12], [30, 22, 10]], ("top", 1): [[30, 10, 4], [30, 12, 11]],
                      ("batch", 1): [[30, 9, 5], [30, 5]]})
    assert [active.reached(run, 0.9) for run in result["runs"]] == [None, 40, 30, None, 30, 30]
    assert active.errors_at(result, "batch", 1, 40) == [5, 5], "of a run that reached 95 %, its end"
    rows = active.summary_table(result).splitlines()
    assert rows[4].split() == ["random", "21.0", "±", "1.0", "11.0", "±", "1.0", "never", "[40-never]", "255", "never", "by", "40", "835"]
    assert "BALD minus random, 30 labels: -10.0 ± 0.0 % of error" in rows[-2]
    assert "BatchBALD minus BALD, 30 labels: -4.0 ± 3.0 % of error" in rows[-1]
    assert active.median([30, 40, None, 50], 60) == "45 [30-never]" and active.median([None, None], 60) == "never by 60"


@pytest.mark.parametrize("argv, says", [(["--labels", "10"], "--labels must be in"), (["--pool", "9"], "--pool must be in"),
                                        (["--processes", "0"], "--processes must be in"),
                                        (["--processes", "2", "--dask", "tcp://a:1"], "--processes N or --dask ADDRESS, not both")])
def test_one_line(argv, says, tmp_path, capsys):
    assert main(["active", *argv, "--out", str(tmp_path / "new")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and says in err and not (tmp_path / "new").exists()


def test_without_dask_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    assert main([*ARGV, "--dask", "tcp://127.0.0.1:1", "--out", str(tmp_path)]) == 2
    assert "--dask needs dask.distributed: pip install '.[dask]'" in capsys.readouterr().err

