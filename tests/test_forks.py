"""os.fork beside a fit, in the middle of one, and after one: the parent goes on, the child works, both with the same bits."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

SETTING = """
import os, sys, threading, time, multiprocessing, warnings
warnings.simplefilter("ignore")  # newer versions of Python warn of any fork beside a thread
import numpy as np, minibayes as mb
from minibayes.fast import forks, hold, parallel
from minibayes import require
x, y = np.random.default_rng(0).random((192, 28, 28, 1), np.float32), np.arange(192) % 10
ready = mb.BayesianNetwork(mb.models.lenet("all"))
ready.fit(x, y, steps=2)

def answer(steps=1):
    model = mb.BayesianNetwork(mb.models.lenet("all"))
    model.fit(x[:96], y[:96], steps=steps, seed=2)
    return ready.predict(x[:9], samples=3).mean.tobytes() + model.params["fc2"]["M"].tobytes()

def in_a_child(work):
    "Whether work() is true in a child of this process, which has five minutes for it."
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if work() else 1
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
        finally:
            os._exit(status)
    end = time.time() + 300
    while time.time() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.005)
    os.kill(child, 9)
    return False

def restored():
    return not hold.holders.depth and all(blas.get() == before[path] for path, blas in hold.libraries().items())

before = {path: blas.get() for path, blas in hold.libraries().items()}
expected = answer()

class Busy(threading.Thread):
    "Fits and predicts until it is told to stop."
    def __init__(self, work):
        super().__init__()
        self.work, self.stop, self.rounds = work, False, 0
    def run(self):
        while not self.stop:
            self.work()
            self.rounds += 1
    def __enter__(self):
        self.start()
        return self
    def __exit__(self, *error):
        self.stop = True
        self.join(300)
        assert not self.is_alive(), "the parent hangs"
"""

CASES = {
    "a finished fit": """
assert in_a_child(lambda: restored() and answer() == expected)
""",
    "a fit in another thread": """
with Busy(lambda: mb.BayesianNetwork(mb.models.lenet("all")).fit(x, y, steps=20)):
    for i in range(6):
        time.sleep(0.01 * i)
        assert in_a_child(lambda: restored() and answer() == expected)
""",
    "pools of processes during a predict": """
def child(i):
    return restored() and answer() == expected
with Busy(lambda: ready.predict(x, samples=20)):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.map_async(child, range(4)).get(300) == [True] * 4
""",
    "plain work in another thread": """
def work():
    mb.BayesianNetwork(mb.models.lenet("all")).fit(x[:32], y[:32], steps=2, batch_size=16, plain=True)
with Busy(work):
    for i in range(3):
        time.sleep(0.02 * i)
        assert in_a_child(lambda: restored() and answer() == expected)
""",
    "a plain predict in another thread": """
inside = []
class Seen(mb.nn.Tanh):
    def forward(self, params, x, z=1):
        inside.append(forks.gate.mine())
        return super().forward(params, x, z)
model = mb.BayesianNetwork(mb.nn.Network(a=mb.nn.Dense(2, 3, noise=mb.nn.Bernoulli(0.5)), t=Seen()))
model.params = model.net.init(0)
plain = model.predict(np.ones((4, 2)), samples=3, plain=True).mean
assert inside and all(inside) and not forks.gate.mine()
with Busy(lambda: ready.predict(x[:32], samples=2, plain=True)):
    for i in range(3):
        time.sleep(0.02 * i)
        assert in_a_child(lambda: restored() and answer() == expected)
""",
    "a report": """
def fork(snapshot, row):
    assert in_a_child(lambda: answer() == expected)
ready.fit(x, y, steps=2, report_every=1, on_report=fork)
""",
    "a report, and the child goes on with the fit": """
whole, pids = mb.BayesianNetwork(mb.models.lenet("all")), set()
whole.fit(x, y, steps=4, report_every=1)
def fork(snapshot, row):
    if row["step"] == 2:
        pids.add(os.fork())
model = mb.BayesianNetwork(mb.models.lenet("all"))
model.fit(x, y, steps=4, report_every=1, on_report=fork, threads=2)
same = all((model.params[l][p] == a).all() for l, g in whole.params.items() for p, a in g.items())
if pids == {0}:
    os._exit(0 if same and restored() else 1)
assert same and os.waitpid(*pids, 0)[1] == 0
""",
    "a task, and the child goes on with the others": """
children = []
def task(i):
    time.sleep(0.01)
    if i == 2:
        children.append(os.fork())
    return i * i
with parallel.pool(3) as run:
    squares = run(task, range(12))
if children[0] == 0:
    os._exit(0 if squares == [i * i for i in range(12)] else 1)
assert squares == [i * i for i in range(12)] and os.waitpid(children[0], 0)[1] == 0
""",
    "two forks at once": """
with Busy(lambda: ready.predict(x[:64], samples=5)), Busy(lambda: in_a_child(lambda: True)) as other:
    for _ in range(3):
        assert in_a_child(lambda: answer() == expected)
    while not other.rounds:
        time.sleep(0.01)
""",
    "work that is not waited for": """
forks.WAIT = 0.05
def refused():
    try:
        answer()
    except require.InputError as error:
        return "was forked while another thread" in str(error) and "\\n" not in str(error)
entered, go = threading.Event(), threading.Event()
def long():
    with parallel.pool(1) as run:
        run(lambda _: (entered.set(), go.wait(60)), [0])
thread = threading.Thread(target=long)
thread.start()
entered.wait(60)
assert in_a_child(refused)
go.set()
thread.join()
assert in_a_child(lambda: answer() == expected)
""",
}


QUICK = ("a fit in another thread", "pools of processes during a predict", "work that is not waited for")


@pytest.mark.parametrize("case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in CASES])
def test_fork_in(case):
    done = subprocess.run([sys.executable, "-c", SETTING + CASES[case] + "\nassert answer() == expected and restored()"],
                          env=os.environ | {"OPENBLAS_NUM_THREADS": "3"}, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
