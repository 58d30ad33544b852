"""A real dask scheduler and two worker processes, one killed in the middle; a lost cluster; MPI, where it is installed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minibayes
from minibayes import bayes, data, models
from minibayes.pieces import predict_in_pieces
from minibayes.spread import Lost, Record, spread
from minibayes.studies.uci import protocol, splits

ROOT = Path(minibayes.__file__).parent.parent
ENV = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
pytestmark = pytest.mark.slow


class Cluster:
    """A scheduler and two workers of one thread, as three processes."""

    def __init__(self, folder):
        self.file, self.processes = folder / "scheduler.json", []
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": ENV, "cwd": folder}
        start = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                 "--no-show", "--scheduler-file", str(self.file)]
        self.processes.append(subprocess.Popen(start, **quiet))
        while not self.file.exists() or not self.file.read_text().strip():
            assert self.processes[0].poll() is None, "the scheduler did not start"
            time.sleep(0.1)
        self.address = json.loads(self.file.read_text())["address"]
        for _ in range(2):
            self.processes.append(subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_worker", self.address, "--nworkers", "1", "--nthreads", "1",
                 "--no-nanny", "--no-dashboard"], **quiet))

    def kill(self, number):
        """0: the scheduler; 1, 2: a worker."""
        self.processes[number].send_signal(signal.SIGKILL)
        self.processes[number].wait()

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    pytest.importorskip("distributed")
    (tmp_path / "cluster").mkdir()
    made = Cluster(tmp_path / "cluster")
    yield made
    made.end()


@pytest.fixture
def client(cluster):
    import distributed

    with distributed.Client(cluster.address, set_as_default=False) as made:
        made.wait_for_workers(2, timeout=60)
        yield made


def uci_jobs(epochs=150):
    return protocol.grid(splits("boston", data.boston(), (0.1, 0.2), 1)[0], epochs=epochs, samples=20, seed=0)


def test_a_worker_is_killed_in_the_middle(cluster, client):
    """The others do its work again: the same results; each job is counted once."""
    jobs, seen = uci_jobs(), []

    def finished(i):
        seen.append(i)
        if len(seen) == 2:
            cluster.kill(1)

    made = spread(protocol.score, jobs, client.get_executor(), finished=finished)
    assert made == [protocol.score(job) for job in jobs] and sorted(seen) == list(range(len(jobs)))
    assert len(client.scheduler_info()["workers"]) == 1


def test_ensembles_and_predictions_on_the_cluster(client):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 4)), rng.standard_normal(300)
    model = minibayes.BayesianNetwork(models.mlp([4, 20, 1]), likelihood=bayes.Gaussian(2.0))
    here, there = (minibayes.Ensemble.of(model, 3).fit(x, y, epochs=3, executor=executor)
                   for executor in (None, client.get_executor()))
    for one, other in zip(here.members, there.members, strict=True):
        assert all((a == other.params[layer][p]).all() for layer, group in one.params.items() for p, a in group.items())
    member = here.members[0]
    made = predict_in_pieces(member, x, executor=client.get_executor(), size=64, samples=9)
    whole = member.predict(x, first=0, samples=9)
    assert (made.mean == whole.mean).all() and (made.log_likelihood(y) == whole.log_likelihood(y)).all()


def test_a_lost_scheduler_keeps_what_was_finished(cluster, client, tmp_path):
    jobs, seen, path = uci_jobs(), [], tmp_path / "uci.part.json"

    def finished(i):
        seen.append(i)
        if len(seen) == 2:
            for number in (0, 1, 2):
                cluster.kill(number)

    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "2s"}):
        with pytest.raises(Lost, match=r"^the executor was lost \(\w+[^\n]*\) after \d+ of 8 jobs: they are in .*uci\.part\.json"):
            spread(protocol.score, jobs, client.get_executor(), finished=finished, record=Record(path))
    assert 2 <= len(Record(path).results) < 8
    again = []
    made = spread(protocol.score, jobs, record=Record(path), finished=again.append)
    assert made == [protocol.score(job) for job in jobs] and sorted(again) == list(range(8))


TABLE = "x,z,y\n" + "".join(f"{i % 7},{i % 5},{(i % 7) * 2 + (i % 5) + (i % 3) / 9}\n" for i in range(40))


def command(*argv, folder, **more):
    return subprocess.Popen([sys.executable, "-m", "minibayes", *map(str, argv)], cwd=folder, text=True, env=ENV,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def test_the_command_line_on_a_cluster(cluster, tmp_path):
    """uci on the cluster and on processes of this machine: the same bytes. Its scheduler killed: one line, and it goes on from there."""
    (tmp_path / "t.csv").write_text(TABLE)
    argv = ["uci", "--csv", "t.csv", "--target", "y", "--splits", "2", "--epochs", "40", "--samples", "20"]
    there = command(*argv, "--out", "there", "--dask", cluster.address, folder=tmp_path)
    out, err = there.communicate(timeout=300)
    assert there.returncode == 0 and re.fullmatch(r"\d+ s; wrote there/uci.json and there/uci.png\n", err), err
    here = command(*argv, "--out", "here", "--processes", "2", folder=tmp_path)
    assert here.communicate(timeout=300)[0] == out
    assert (tmp_path / "there/uci.json").read_bytes() == (tmp_path / "here/uci.json").read_bytes()
    assert not list(tmp_path.glob("*/*.part.json"))

    longer = [*argv[:-4], "--epochs", "800", "--samples", "20", "--out", "lost"]
    lost = command(*longer, "--dask", cluster.address, folder=tmp_path)
    part = tmp_path / "lost/uci.part.json"
    while not part.exists() and lost.poll() is None:
        time.sleep(0.1)
    for number in (0, 1, 2):
        cluster.kill(number)
    out, err = lost.communicate(timeout=300)
    assert lost.returncode == 2 and out == "" and err.count("\n") == 1, err
    assert re.match(r"minibayes uci: error: the executor was lost .* jobs: they are in lost/uci.part.json", err)
    assert len(Record(part).results) >= 1
    again = command(*longer, "--processes", "2", folder=tmp_path)
    fresh = command(*longer[:-1], "fresh", "--processes", "2", folder=tmp_path)
    assert again.communicate(timeout=600)[0] == fresh.communicate(timeout=600)[0] != ""
    assert (tmp_path / "lost/uci.json").read_bytes() == (tmp_path / "fresh/uci.json").read_bytes() and not part.exists()

    gone = command(*argv, "--dask", "tcp://127.0.0.1:1", "--out", "gone", folder=tmp_path)
    out, err = gone.communicate(timeout=300)
    assert gone.returncode == 2 and err.count("\n") == 1 and "--dask must be the address of a dask scheduler" in err


MPI = """
import json, sys
from mpi4py.futures import MPIPoolExecutor
from minibayes import data
from minibayes.spread import to_text
from minibayes.studies import uci

if __name__ == "__main__":
    splits = uci.splits("boston", data.boston(), (0.1,), 1)
    with MPIPoolExecutor() as executor:
        print(to_text(uci.run(splits, epochs=5, samples=10, executor=executor)))
"""


def test_over_mpi(tmp_path):
    """As in the documents: one process gives work to two others."""
    pytest.importorskip("mpi4py")
    if shutil.which("mpiexec") is None:
        pytest.skip("there is no mpiexec")
    (tmp_path / "script.py").write_text(MPI)
    done = subprocess.run(["mpiexec", "-n", "3", sys.executable, "-m", "mpi4py.futures", "script.py"], cwd=tmp_path, text=True,
                          capture_output=True, env=ENV, timeout=300)
    assert done.returncode == 0, done.stderr
    from minibayes.spread import to_text
    from minibayes.studies import uci

    own = uci.run(uci.splits("boston", data.boston(), (0.1,), 1), epochs=5, samples=10, processes=1)
    assert done.stdout == to_text(own) + "\n"
