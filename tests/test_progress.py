"""Progress bars: a person at a terminal sees them, whatever size it says it has.

A pipe or a file gets none.
"""

import os
import subprocess
import sys

import pytest

CODE = """
import sys
import numpy as np, minibayes as mb
x, y = np.random.default_rng(0).random((3000, 50), np.float32), np.arange(3000) % 3
model = mb.BayesianNetwork(mb.models.mlp([50, 800, 800, 3]))
model.fit(x, y, epochs=3, progress=sys.argv[1] == "yes")
model.predict(x, samples=20, progress=sys.argv[1] == "yes")
"""


def on_a_terminal(progress):
    pty = pytest.importorskip("pty")  # a new pseudo-terminal says that it has 0 lines of 0 columns
    here, there = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", CODE, progress], stdout=subprocess.DEVNULL,
                               stderr=there)
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
