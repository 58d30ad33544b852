"""Progress bars: a person at a terminal or in a notebook sees them; a pipe or a file gets a line a minute."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minibayes as mb
from minibayes import progress

ROOT = Path(mb.__file__).parent.parent
X, Y = np.random.default_rng(0).random((300, 5), np.float32), np.arange(300) % 3
CODE = """
import sys
import numpy as np, minibayes as mb
x, y = np.random.default_rng(0).random((3000, 50), np.float32), np.arange(3000) % 3
model = mb.BayesianNetwork(mb.models.mlp([50, 800, 800, 3]))
model.fit(x, y, epochs=3, progress=sys.argv[1] == "yes")
model.predict(x, samples=20, progress=sys.argv[1] == "yes")
"""


def on_a_terminal(shown):
    pty = pytest.importorskip("pty")  # a new pseudo-terminal says that it has 0 lines of 0 columns
    here, there = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", CODE, shown], stdout=subprocess.DEVNULL, stderr=there)
    os.close(there)
    text = b""
    while True:
        try:
            part = os.read(here, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        text += part
    os.close(here)
    assert process.wait() == 0
    return text.decode()


def test_bars_on_a_terminal():
    text = on_a_terminal("yes")
    assert "fit:" in text and "images/s" in text and "9.00k" in text
    assert "predict:" in text and "60.0k" in text
    assert "loss" in text, text


def test_no_bars_unless_asked():
    assert on_a_terminal("no") == ""


def test_no_bars_into_a_pipe():
    done = subprocess.run([sys.executable, "-c", CODE, "yes"], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


# ------------------------------------------------------------------------------------- a stream of any kind

class OnlyWrite:
    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


class Terminal(OnlyWrite):
    def isatty(self):
        return True


class Broken(Terminal):
    """Its reader is gone, or its disk is full; and it is a terminal, so that a bar is drawn."""

    encoding = "ascii"

    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")

    def flush(self):
        raise OSError(28, "No space left on device")


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


def ascii_terminal():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    stream.isatty = lambda: True
    return stream


STREAMS = {"None": lambda: None, "closed": closed, "only write": OnlyWrite, "a terminal of only write": Terminal,
           "broken": Broken, "ascii": ascii_terminal, "an object": object}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("every", [progress.EVERY, 0])
def test_work_goes_on_whatever_stderr_is(name, every, monkeypatch):
    """Also where a line is due at every step."""
    monkeypatch.setattr(progress, "EVERY", every)
    monkeypatch.setattr(sys, "stderr", STREAMS[name]())
    model = mb.BayesianNetwork(mb.models.mlp([5, 4, 3], noise=mb.nn.Bernoulli(0.5)))
    model.fit(X, Y, epochs=25, batch_size=10, progress=True)
    shown = model.predict(X, progress=True)
    plain = mb.BayesianNetwork(model.net)
    plain.fit(X, Y, epochs=25, batch_size=10)
    assert (plain.predict(X).mean == shown.mean).all()


@pytest.mark.skipif(os.name != "posix", reason="a shell closes the streams")
@pytest.mark.parametrize("redirection", ["2>&-", pytest.param("2>&- >&-", marks=pytest.mark.slow),
                                         pytest.param("2>/dev/full", marks=pytest.mark.slow)])
def test_a_shell_may_close_stderr(redirection, tmp_path):
    if "/dev/full" in redirection and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    code = CODE.replace("800, 800", "8") + f"open({str(tmp_path / 'done')!r}, 'w').write('done')"
    (tmp_path / "script.py").write_text(code)
    command = f"'{sys.executable}' '{tmp_path}/script.py' yes {redirection}"
    done = subprocess.run(command, shell=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0 and (tmp_path / "done").read_text() == "done"


# --------------------------------------------------------------------------------------------- lines in pipes

class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(progress.time, "monotonic", made)
    monkeypatch.setattr(progress.Lines, "since", float("-inf"))
    monkeypatch.setattr(progress.Lines, "ended", float("-inf"))
    return made


def count(bar, steps, clock, seconds):
    for _ in range(steps):
        clock.now += seconds
        bar.update(1)
        bar.refresh()  # tqdm asks its own clock whether it is time


def test_a_line_a_minute(clock, capsys):
    with progress.bar(True, 100, "fit", " images") as bar:
        count(bar, 100, clock, 3)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" %")[0] for line in lines] == ["fit: 20", "fit: 40", "fit: 60", "fit: 80", "fit: 100"]
    assert "40.0 of 100 images after" in lines[1] and "to go" in lines[1]


def test_quick_runs_print_nothing(clock, capsys):
    for _ in range(5):
        with progress.bar(True, 10, "fit", " images") as bar:
            count(bar, 10, clock, 5)
        clock.now += 100  # another of the user's own steps
    assert capsys.readouterr().err == ""


def test_bars_in_a_row_and_in_each_other_share_the_minute(clock, capsys):
    """Eight minutes of networks that take 40 seconds each are not silent, nor are they lines upon lines."""
    with progress.bar(True, 12, "networks", " networks") as outer:
        for _ in range(12):
            with progress.bar(True, 4, "fit", " images") as bar:
                count(bar, 4, clock, 10)
            outer.update(1)
    assert len(capsys.readouterr().err.splitlines()) == 8
    with progress.bar(True, None, "predict", " passes") as bar:
        count(bar, 10, clock, 10)
    line, = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"predict: [\d.]+ passes after [\d:]+", line)


# ------------------------------------------------------------------------------------------------- notebooks

NOTEBOOK = """
import numpy as np, minibayes as mb
x, y = np.random.default_rng(0).random((2000, 50), np.float32), np.arange(2000) % 3
for _ in range(3):
    model = mb.BayesianNetwork(mb.models.mlp([50, 400, 400, 3]))
    model.fit(x, y, epochs=12, progress=True)
    model.predict(x, samples=30, progress=True)
print("done")
"""


@pytest.mark.slow
def test_a_notebook_keeps_no_trace_of_its_bars():
    """They are there while they run, and less than 5 kB are stored: no stderr, which is shown red; no text."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK)])
    seen = []

    class Client(nbclient.NotebookClient):
        def process_message(self, msg, cell, cell_index):
            if msg["msg_type"] in ("display_data", "update_display_data"):
                seen.append(msg["content"]["data"].get("text/plain", ""))
            return super().process_message(msg, cell, cell_index)

    os.environ["PYTHONPATH"], before = str(ROOT), os.environ.get("PYTHONPATH")
    try:
        Client(nb, timeout=100, kernel_name="python3").execute()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    outputs = nb.cells[0].outputs
    assert [o.text for o in outputs if o.output_type == "stream"] == ["done\n"], "nothing on stderr"
    assert all(o.data == {} for o in outputs if o.output_type == "display_data")
    assert len(json.dumps(outputs)) < 5000
    assert any("fit:" in text and "images/s" in text for text in seen) and any("predict:" in text for text in seen)
    assert max(map(len, seen)) <= 79, "no line wraps"
    nbformat.validate(nb)
