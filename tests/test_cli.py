"""The command line: results on stdout, one line on stderr and exit status 2 for what is wrong; mnist."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from executors import instead_of_processes

import minibayes
from minibayes import __main__, data, plots
from minibayes.studies import common, mnist

ROOT = Path(minibayes.__file__).parent.parent
RULES = {"none": ["weight-averaging"], "ip": ["weight-averaging", "mc"],
         "all": ["weight-averaging", "probabilistic-pooling", "mc"]}


def run(*argv):
    """The exit status of the command line, in this process."""
    try:
        return __main__.main(list(argv))
    except SystemExit as error:
        return error.code


def python(*argv, **options):
    """`python -m minibayes ...` in a process of its own."""
    env = os.environ | {"PYTHONPATH": str(ROOT)} | options.pop("env", {})
    return subprocess.run([sys.executable, "-m", "minibayes", *argv], capture_output=True, text=True, env=env,
                          timeout=100, **options)


# -------------------------------------------------------------------------------------------- what is wrong

WRONG = {
    "no arguments": ([], "COMMAND"),
    "an unknown command": (["cifar"], "'cifar'.*mnist"),
    "an abbreviated command": (["mni"], "'mni'"),
    "an unknown option": (["mnist", "--sede", "1"], "--sede"),
    "an option before the command": (["--seed", "1", "mnist"], "--seed|COMMAND|'1'"),
    "an abbreviated option": (["mnist", "--sample", "3"], "--sample"),
    "an argument too many": (["mnist", "more"], "more"),
    "an option without value": (["mnist", "--seed"], "--seed.*expected one argument"),
    "seeds 0": (["mnist", "--seeds", "0"], r"--seeds must be in \[1, 1000\], got 0"),
    "seeds -1": (["mnist", "--seeds", "-1"], "--seeds must be .*got -1"),
    "seeds 1.5": (["mnist", "--seeds", "1.5"], "--seeds.*'1.5'"),
    "seeds too many": (["mnist", "--seeds", "1001"], "--seeds must be .*got 1001"),
    "samples 0": (["mnist", "--samples", "0"], r"--samples must be in \[1, 100000\], got 0"),
    "samples -5": (["mnist", "--samples", "-5"], "--samples must be .*got -5"),
    "samples text": (["mnist", "--samples", "many"], "--samples.*'many'"),
    "epochs -1": (["mnist", "--epochs", "-1"], r"--epochs must be a finite number in \(0, .*got -1.0"),
    "epochs 0": (["mnist", "--epochs", "0"], "--epochs must be .*got 0.0"),
    "epochs nan": (["mnist", "--epochs", "nan"], "--epochs must be a finite number.*got nan"),
    "epochs inf": (["mnist", "--epochs", "inf"], "--epochs must be a finite number.*got inf"),
    "epochs huge": (["mnist", "--epochs", "1e300"], "--epochs must be a finite number.*got 1e"),
    "epochs text": (["mnist", "--epochs", "ten"], "--epochs.*'ten'"),
    "seed x": (["mnist", "--seed", "x"], "--seed.*'x'"),
    "seed negative": (["mnist", "--seed", "-1"], "--seed must be .*got -1"),
    "seed too large": (["mnist", "--seed", str(2**64)], f"--seed .*must be .*got {2**64 + 1}"),
    "threads 0": (["mnist", "--threads", "0"], "--threads must be >= 1, got 0"),
    "threads text": (["mnist", "--threads", "two"], "--threads.*'two'"),
    "out below a file": (["mnist", "--out", "{file}/out"], "--out must be a folder.*{file}/out"),
    "out a file": (["mnist", "--out", "{file}"], "--out must be a folder.*{file}"),
    "out with a null": (["mnist", "--out", "a\0b"], "--out must be a folder"),
}

@pytest.mark.parametrize("name", WRONG)
def test_one_line_and_status_2(name, tmp_path, monkeypatch, capsys):
    argv, says = WRONG[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "mnist", lambda: pytest.fail("work began"))
    (tmp_path / "file").touch()
    file = str(tmp_path / "file")
    assert run(*[a.replace("{file}", file) for a in argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1 and err.endswith("\n") and "Traceback" not in err
    assert re.match(r"minibayes( mnist)?: error: .*(?:" + says.replace("{file}", re.escape(file)) + ")",
                    err), err
    assert [p.name for p in tmp_path.iterdir()] == ["file"], "nothing was made"


def test_threads_of_the_environment(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("MINIBAYES_THREADS", "many")
    assert run("mnist", "--out", str(tmp_path / "new")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "minibayes mnist: error: MINIBAYES_THREADS must be a positive integer, got 'many'\n"
    assert not (tmp_path / "new").exists()


def test_broken_data_files(monkeypatch, capsys, tmp_path):
    """Missing data, and a damaged file: one line that names it."""
    monkeypatch.setattr(data, "_places", lambda: (tmp_path / "a", tmp_path / "b"))
    for damage in ("missing folder", "missing file", "not gzip"):
        if damage == "missing file":
            (tmp_path / "b" / "mnist").mkdir(parents=True)
        elif damage == "not gzip":
            (tmp_path / "b" / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"hello")
        assert run("mnist", "--out", str(tmp_path)) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and err.startswith("minibayes mnist: error: ")
        assert ("train-images" in err) == (damage != "missing folder") and str(tmp_path) in err


@pytest.mark.parametrize("error, status, says", [
    (minibayes.DivergenceError("the loss became nan at step 3"), 1,
     "diverged: the loss became nan at step 3"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (OSError(28, "No space left on device"), 2, "error: .*No space left on device"),
    (minibayes.InputError("x must be finite"), 2, "error: x must be finite")], ids=lambda e: type(e).__name__)
def test_errors_of_the_work(error, status, says, monkeypatch, capsys, tmp_path):
    def study(*args, **kwargs):
        raise error

    monkeypatch.setattr(mnist, "study", study)
    assert run("mnist", "--out", str(tmp_path)) == status
    out, err = capsys.readouterr()
    assert out == "" and re.fullmatch(f"minibayes mnist: {says}\n", err)
    assert not list(tmp_path.iterdir())


def test_help_and_version(capsys):
    assert run("--version") == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(r"minibayes \d+\.\d+\.\d+\n", out)
    assert out.split()[1] == minibayes.__version__ and err == ""
    assert run("--help") == 0
    out, err = capsys.readouterr()
    assert "mnist" in out and "--version" in out and err == ""
    assert run("mnist", "--help") == 0
    out, err = capsys.readouterr()
    assert err == ""
    for option in ("--quick", "--seed", "--out", "--json", "--threads", "--epochs", "--seeds", "--samples"):
        assert option in out


@pytest.mark.parametrize("name", __main__.FIRST)
def test_help_of_each_command(name, capsys):
    assert run(name, "--help") == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: minibayes {name} ") and "--help" in out and err == ""
    assert "%%" not in out and "%(" not in out


def test_help_takes_percent_signs_as_they_are(capsys):
    assert run("active", "--help") == 0
    assert "if not at 95 %" in " ".join(capsys.readouterr().out.split())


def test_in_a_process_of_its_own(tmp_path):
    """Status and streams as the shell sees them."""
    for argv, says in (([], "COMMAND"), (["mnist", "--seeds", "0"], "--seeds")):
        done = python(*argv, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1 and says in done.stderr and done.stderr.startswith("minibayes")
    done = python("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"minibayes {minibayes.__version__}\n", "")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------ the MNIST study

@pytest.fixture(scope="module")
def few_images():
    """The real data, but 256 images to train on and 100 to test; an epoch of the settings is 3 steps."""
    full = data.mnist()
    few = tuple(a[:256 if i < 2 else 100].copy() for i, a in enumerate(full))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "mnist", lambda: few)
        patch.setattr(mnist, "BATCH", 100)
        yield few


ARGV = ["mnist", "--epochs", "1", "--samples", "3", "--seed", "5"]


@pytest.fixture(scope="module")
def two_seeds(few_images, tmp_path_factory):
    """(folder, stdout, stderr) of a run with two seeds and --json."""
    folder = tmp_path_factory.mktemp("study") / "made" / "on the way"
    with pytest.MonkeyPatch.context() as patch:
        texts = {"stdout": [], "stderr": []}
        for name, parts in texts.items():
            stream = getattr(sys, name)
            patch.setattr(stream, "write", lambda text, parts=parts: parts.append(text) or len(text))
        assert run(*ARGV, "--seeds", "2", "--out", str(folder), "--json", "--threads", "1") == 0
    return folder, "".join(texts["stdout"]), "".join(texts["stderr"])


@pytest.fixture(scope="module")
def result(two_seeds):
    return json.loads(two_seeds[1])


def test_json_on_stdout_is_the_file(two_seeds):
    folder, out, err = two_seeds
    assert out == (folder / "mnist.json").read_text()
    assert err == f"wrote {folder / 'mnist.json'} and {folder / 'mnist.png'}\n"
    files = sorted(p.name for p in folder.iterdir())
    assert files == ["mnist.json", "mnist.png"], "no temporary file is left"


def test_what_the_json_holds(result):
    assert set(result) == {"settings", "versions", "results", "comparisons", "history"}
    settings = result["settings"]
    assert {"quick": False, "steps": 3, "epochs": 1.0, "batch_size": 100, "rate": 0.01, "momentum": 0.9,
            "policy": "inv", "weight_decay": 5e-4, "keep": 0.5, "samples": 3, "seeds": [5, 6],
            "threads": 1}.items() <= settings.items()
    versions = result["versions"]
    assert {"minibayes", "python", "machine", "numpy", "numba"} <= set(versions)
    assert versions["minibayes"] == minibayes.__version__ and versions["numpy"] == np.__version__


def test_results(result):
    rows = result["results"]
    assert [(r["seed"], r["variant"], r["rule"]) for r in rows] == [
        (s, v, rule) for s in (5, 6) for v, rules in RULES.items() for rule in rules]
    for row in rows:
        assert set(row) == {"variant", "rule", "seed", "error", "error_se", "nll"}
        percent = 100 * row["error"]
        assert 0 <= percent <= 100 and percent == pytest.approx(round(percent)), "out of 100 images"
        assert row["error_se"] == pytest.approx(math.sqrt(row["error"] * (1 - row["error"]) / 100))
        assert 0 < row["nll"] < 20
    assert len({row["nll"] for row in rows}) >= len(rows) - 2, "rules and seeds differ"
    by = {(r["seed"], r["variant"], r["rule"]): r["nll"] for r in rows}
    assert by[5, "ip", "mc"] != by[5, "ip", "weight-averaging"]


def test_comparisons(result):
    by = {(r["seed"], r["variant"], r["rule"]): r["error"] for r in result["results"]}
    assert [(c["seed"], c["variant"], c["b"]) for c in result["comparisons"]] == [
        (s, v, rule) for s in (5, 6) for v in ("ip", "all") for rule in RULES[v][:-1]]
    for c in result["comparisons"]:
        assert c["a"] == "mc" and 0 < c["p_value"] <= 1
        difference = by[c["seed"], c["variant"], "mc"] - by[c["seed"], c["variant"], c["b"]]
        assert c["only_a_wrong"] - c["only_b_wrong"] == pytest.approx(100 * difference)


def test_history(result):
    assert [(r["seed"], r["variant"], r["step"]) for r in result["history"]] == [
        (s, v, step) for s in (5, 6) for v in RULES for step in (1, 2, 3)]
    for row in result["history"]:
        assert {"variant", "seed", "epoch", "step", "loss", "nll", "seconds", "error"} <= set(row)
        assert list(row["error"]) == RULES[row["variant"]] and all(0 <= e <= 1 for e in row["error"].values())
        assert row["loss"] >= row["nll"] > 0 and row["epoch"] == row["step"] / 3


def test_the_picture_is_one(two_seeds):
    """A PNG that a decoder reads, with something on it."""
    path = two_seeds[0] / "mnist.png"
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    picture = matplotlib.image.imread(path)
    assert picture.ndim == 3 and min(picture.shape[:2]) > 300
    colors = {tuple(c) for c in (picture[::2, ::2, :3] * 255).round().astype(int).reshape(-1, 3)}
    lines = {(0x55, 0x55, 0x55), (0xE6, 0x9F, 0x00), (0x00, 0x72, 0xB2)}
    assert lines | {(255, 255, 255)} <= colors, "a line for each network"


def without_time(result):
    return {"results": result["results"], "comparisons": result["comparisons"],
            "history": [{k: v for k, v in row.items() if k != "seconds"} for row in result["history"]]}


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same(threads, few_images, result, tmp_path, capsys, monkeypatch):
    """On one thread again, and on two or elsewhere: equal to the last digit; the second seed of two is the first of one."""
    more, executor = ["--processes", "2"] if threads == 1 else [], instead_of_processes(monkeypatch)
    assert run(*ARGV[:-1], "6", "--out", str(tmp_path), "--json", "--threads", str(threads), *more) == 0
    assert executor.count == (3 if threads == 1 else 0)
    again = json.loads(capsys.readouterr().out)
    assert again["settings"]["threads"] == threads and again["settings"]["seeds"] == [6]
    assert without_time(again) == {key: [row for row in rows if row["seed"] == 6]
                                   for key, rows in without_time(result).items()}


def cells(out, network, rule):
    """The figures of one line of the table."""
    line = next(line for line in out.splitlines() if line.startswith(f"lenet-{network} ") and rule in line)
    return line[line.index(rule) + len(rule):].split()


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_table(seeds, result, capsys):
    """Every network and rule with its error in %, both error bars and nll; then the paired comparisons."""
    chosen = {"settings": result["settings"] | {"seeds": [5, 6][:seeds]}, "versions": result["versions"],
              **{key: [row for row in result[key] if row["seed"] < 5 + seeds]
                 for key in ("results", "comparisons", "history")}}
    out = mnist.summary_table(chosen)
    titles = {"weight-averaging": "weight averaging", "mc": "MC averaging, T = 3",
              "probabilistic-pooling": "probabilistic pooling"}
    for variant, rules in RULES.items():
        for rule in rules:
            rows = [r for r in chosen["results"] if (r["variant"], r["rule"]) == (variant, rule)]
            error, _, spread, nll = cells(out, variant, titles[rule])
            mean = np.mean([100 * r["error"] for r in rows])
            assert error == f"{mean:.2f}" and nll == f"{np.mean([r['nll'] for r in rows]):.4f}"
            half = abs(100 * (rows[0]["error"] - rows[-1]["error"])) / 2
            assert spread == ("-" if seeds == 1 else f"{half:.2f}")
    assert ("seed 5" in out) and ("seeds 5, 6" in out) == (seeds == 2)
    assert out.count("only MC wrong on") == 3 * seeds and "3 steps" in out
    assert all(line == line.rstrip() and len(line) < 140 for line in out.splitlines())


def test_the_table_has_the_error_bars_of_its_own_test_set(result):
    """A hundred test images have an error bar of a hundred images."""
    one = result | {"settings": result["settings"] | {"seeds": [5]}, "results": result["results"][:7],
                    "comparisons": []}
    row = next(r for r in one["results"] if r["variant"] == "ip")
    assert cells(mnist.summary_table(one), "ip", "weight averaging")[1] == f"{100 * row['error_se']:.2f}"


def test_the_title_says_of_how_many_passes_its_figures_are(result):
    """The lines are drawn with fewer; where they are not, there is nothing to say."""
    settings = result["settings"] | {"samples": 50, "curve_samples": 10}
    title = mnist.figure_title(result | {"settings": settings}).replace("\n", " ")
    assert "MC averaging, T = 50 (line: T = 10), errs on" in title
    settings["curve_samples"] = 50
    assert "MC averaging, T = 50, errs on" in mnist.figure_title(result | {"settings": settings}).replace("\n", " ")


def test_without_json_the_table_is_printed(few_images, tmp_path, monkeypatch, capsys, nothing_left_running):
    """Here the folder is the current one; quick takes a few steps of its own."""
    monkeypatch.chdir(tmp_path)
    assert run("mnist", "--quick", "--samples", "2") == 0
    out, err = capsys.readouterr()
    written = json.loads((tmp_path / "mnist.json").read_text())
    assert out == mnist.summary_table(written) + "\n" and "lenet-all" in out
    assert written["settings"]["quick"] is True and written["settings"]["samples"] == 2
    assert err.count("\n") == 1 and err.startswith("wrote ")
    assert (tmp_path / "mnist.png").stat().st_size > 5000


def test_a_failing_picture_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"old")
    ax = plots.error_curves([{"variant": "all", "rule": "mc", "epochs": [1, 2], "errors": [0.1, 0.05]}],
                            "title")
    monkeypatch.setattr(os, "replace", lambda *args: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(OSError):
        plots.save(ax, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == b"old"


def test_tables():
    out = common.table(("name", "x"), [("a", 1.5), ("long", "-")])
    assert out.splitlines() == ["name    x", "---------", "a     1.5", "long    -"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_ctrl_c_in_a_process_of_its_own(tmp_path):
    """Interrupted in the middle of the work: status 130, one line, no results."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    code = ("import sys; from minibayes import __main__, training; step = training.Run.step\n"
            "def told(*args):\n    print('step', flush=True); return step(*args)\n"
            "training.Run.step = told; sys.exit(__main__.main(['mnist', '--out', sys.argv[1]]))")
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=env, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    alarm = threading.Timer(600, child.kill)
    alarm.start()
    try:
        for _ in range(5):
            assert child.stdout.readline() == "step\n"
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=600)
    finally:
        child.kill()
        alarm.cancel()
        child.wait()
    assert child.returncode == 130 and err == "minibayes mnist: interrupted\n"
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------- what was nearly said, and where

@pytest.mark.parametrize("argv, says", [
    (["mnist", "--epoch", "3"], "unrecognized arguments: --epoch 3; did you mean --epochs?"),
    (["mnist", "--Seeds=3"], "unrecognized arguments: --Seeds=3; did you mean --seeds?"),
    (["ood", "--image", "30"], "unrecognized arguments: --image 30; did you mean --images?"),
    (["uci", "--targt", "y"], "unrecognized arguments: --targt y; did you mean --target?"),
    (["bench", "--qick"], "unrecognized arguments: --qick; did you mean --quick?"),
    (["check", "--jsn"], "unrecognized arguments: --jsn; did you mean --json?"),
    (["mnist", "--nothing-like-it"], "unrecognized arguments: --nothing-like-it"),
    (["uci", "--data", "bostn"], "'concrete'); did you mean boston?"), (["mnst"], "; did you mean mnist?")])
def test_a_mistyped_word_names_its_own_help_and_the_nearest(argv, says, capsys):
    assert run(*argv) == 2
    out, err = capsys.readouterr()
    prog = f"minibayes {argv[0]}" if len(argv) > 1 else "minibayes"
    assert out == "" and err.startswith(f"{prog}: error: ") and err.endswith(f"{says} (see {prog} --help)\n")


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_line(monkeypatch, capsys, tmp_path):
    def study(*args, **kwargs):
        warnings.warn("two\n    lines", UserWarning, stacklevel=1)
        raise minibayes.InputError("no")

    monkeypatch.setattr(mnist, "study", study)
    shown = warnings.showwarning
    assert run("mnist", "--out", str(tmp_path)) == 2 and warnings.showwarning is shown
    assert capsys.readouterr().err == ("minibayes mnist: warning: two lines\nminibayes mnist: error: no\n")


CHECK = ["check", "--only", "weights-dense"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("argv", [["--help"], pytest.param(CHECK, marks=pytest.mark.slow)])
def test_a_full_stdout_is_one_line(argv):
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "minibayes", *argv], stdout=full, stderr=subprocess.PIPE,
                              text=True, env=env)
    assert done.returncode == 2 and re.fullmatch("minibayes.*: error: .*No space left on device\n", done.stderr)


@pytest.mark.parametrize("encoding", ["ascii", *(pytest.param(name, marks=pytest.mark.slow)
                                                 for name in ("cp866", "iso8859-2", "cp1252", "utf-16"))])
def test_any_encoding_of_stdout(encoding):
    """Help and result; no UnicodeEncodeError after the work is done."""
    for argv in (["--help"], CHECK):
        done = subprocess.run([sys.executable, "-m", "minibayes", *argv], capture_output=True,
                              env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding})
        assert done.returncode == 0 and done.stderr == b""
        assert ("holds" if argv is CHECK else "mnist") in done.stdout.decode(encoding)


@pytest.mark.skipif(os.name != "posix", reason="a shell closes the streams")
def test_what_is_opened_does_not_take_the_place_of_a_closed_stderr(tmp_path):
    """A library that writes to file descriptor 2 must not write into the result."""
    code = ("import os, sys; from minibayes import __main__\n"
            "__main__.main = lambda: 0 if open(sys.argv[1], 'w').fileno() > 2 else 1\n"
            "sys.exit(__main__.run())")
    command = f"'{sys.executable}' -c \"{code}\" '{tmp_path}/file' <&- >&- 2>&-"
    assert subprocess.run(command, shell=True, env=os.environ | {"PYTHONPATH": str(ROOT)}).returncode == 0
