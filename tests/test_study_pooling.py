"""The study pooling on two splits: the same in an executor, and its table and figure."""

import json

import pytest
from executors import Inline, instead_of_processes

from minibayes.__main__ import main
from minibayes.studies import pooling

SETTINGS = {"quick": True, "seeds": [4, 5], "epochs": 2}


@pytest.mark.slow
def test_the_same_here_in_an_executor_and_from_the_command_line(tmp_path, capsys, monkeypatch):
    here, there = (pooling.Pooling().run(SETTINGS, threads=1, executor=executor)[0] for executor in (None, Inline()))
    assert here == there and [(run["seed"], run["pooling"]) for run in here["runs"]] == [
        (seed, how) for seed in (4, 5) for how in pooling.POOLING]
    assert all(sum(b["rows"] for b in run["bins"]) == round(0.2 * here["rows"]) for run in here["runs"])
    executor = instead_of_processes(monkeypatch)
    monkeypatch.setitem(pooling.Pooling.quick, "epochs", 2)
    argv = ["pooling", "--quick", "--seed", "4", "--seeds", "2", "--processes", "2", "--out", str(tmp_path)]
    assert main(argv) == 0 and executor.count == 2
    result = json.loads((tmp_path / "pooling.json").read_text())
    assert result["runs"] == here["runs"] and sorted(p.name for p in tmp_path.iterdir()) == ["pooling.json", "pooling.png"]
    assert "partial pooling" in capsys.readouterr().out
