"""Fresh processes: import time, the first training step with and without a Numba cache, and peak memory."""

import os
import subprocess
import sys
import tempfile

IMPORT = "import time; t = time.perf_counter(); import minibayes; print(time.perf_counter() - t)"

FIRST_STEP = """
import time; t = time.perf_counter()
import numpy as np, minibayes as mb
x, y = np.random.default_rng(0).random((64, 28, 28, 1), np.float32), np.arange(64) % 10
mb.BayesianNetwork(mb.models.lenet("all")).fit(x, y, steps=1)
print(time.perf_counter() - t)
"""

MEMORY = """
import sys
import numpy as np, minibayes as mb
from minibayes.bench.start import peak
x = np.random.default_rng(0).random((64, 28, 28, 1), np.float32)
net = mb.models.lenet("all")
mb.BayesianNetwork(net, params=net.init(0)).predict(x, samples=int(sys.argv[1]))
print(peak())
"""

MAIN_JOB = """
import sys
from minibayes.__main__ import main
from minibayes.bench.start import peak
status = main(["mnist", "--quick", "--json", "--out", sys.argv[1]])
print(peak())
sys.exit(status)
"""


def peak() -> float:
    """The most memory that this process has held, in MB.

    On Linux by /proc: ru_maxrss begins with what the parent process held, even behind an exec.
    """
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        import resource  # not on Windows

        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def child(code: str, *args: object, **environment: str) -> float:
    """The number that a fresh Python process prints last."""
    done = subprocess.run([sys.executable, "-c", code, *map(str, args)], env=os.environ | environment,
                          capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"a fresh process failed: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.strip().splitlines()[-1])


def start() -> dict[str, float]:
    """{import_s, first_step_cold_s, first_step_warm_s}: both steps count from the import on."""
    with tempfile.TemporaryDirectory() as cache:
        cold = child(FIRST_STEP, NUMBA_CACHE_DIR=cache)
        return {"import_s": min(child(IMPORT) for _ in range(3)), "first_step_cold_s": cold,
                "first_step_warm_s": min(child(FIRST_STEP, NUMBA_CACHE_DIR=cache) for _ in range(2))}


def memory(quick: bool) -> dict:
    """Peak resident MB of predict at T = 10 and T = 1000, and of the main job --quick (not if quick)."""
    result = {"predict_10_mb": child(MEMORY, 10), "predict_1000_mb": child(MEMORY, 1000), "main_job_mb": None}
    if not quick:
        with tempfile.TemporaryDirectory() as out:
            result["main_job_mb"] = child(MAIN_JOB, out)
    return result
