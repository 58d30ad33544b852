"""[task(job) for job in jobs], in any concurrent.futures.Executor: the same results, in order, none lost.

    with ProcessPoolExecutor() as executor: ...                     # this machine: `processes.new_processes`
    with dask.distributed.Client(address) as client: ...            # a cluster: client.get_executor()
    with mpi4py.futures.MPIPoolExecutor() as executor: ...          # MPI

A job's result depends on the job alone, so it does not matter where it runs, or in which order jobs end. What
is finished is kept: in a Record on disk, and in the Lost that is raised if an executor is gone.
"""

import base64
import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, as_completed
from functools import partial
from os import PathLike

import numpy as np

from . import files, require

CLUSTERS = ("distributed", "dask", "mpi4py")  # whose own errors say that workers or their scheduler are gone


class Lost(ConnectionError):
    """The executor is gone in the middle of the work. finished: {number of a job: its result}."""

    finished: dict = {}


def spread(task: Callable, jobs: Sequence, executor: Executor | None = None, *,
           finished: Callable[[int], None] | None = None, record: "Record | None" = None) -> list:
    """[task(job) for job in jobs]: each job is sent to the executor, and what it gives back is in order.

    task: a function of a job. Other processes must find it: it stands in a module, not in another function.
    jobs: anything that can be pickled; with a record, plain data (see `digest`).
    executor: anything with the `submit` of concurrent.futures; it is used, and left open. None: this thread
              does one job after another.
    finished: called with a job's number as soon as it is done, in whatever order they end.
    record: a Record: jobs in it are not done again, others join it as they end; results must then be plain
            data too (`to_text`), and are what comes back from the file.

    The first error of a job, or an interrupt, calls off what has not begun, and is raised here as it was
    there. Lost, a ConnectionError, if it is the executor that failed.
    """
    jobs, results = list(jobs), {}
    name = f"{getattr(task, 'func', task).__module__}.{getattr(task, 'func', task).__qualname__}"
    keys = [record.key(name, job) for job in jobs] if record else []

    def done(i: int, result: object) -> None:
        results[i] = record.add(keys[i], result) if record else result
        if finished is not None:
            finished(i)

    for i, key in enumerate(keys):
        if key in record.results:
            done(i, record.results[key])
    left = [i for i in range(len(jobs)) if i not in results]
    try:
        if executor is None:
            for i in left:
                done(i, task(jobs[i]))
        else:
            submitted(task, jobs, left, executor, done)
    except Exception as error:
        if executor is None or not is_lost(error, executor):
            raise
        raise lost(error, results, len(jobs), record) from None
    return [results[i] for i in range(len(jobs))]


def submitted(task: Callable, jobs: list, left: list[int], executor: Executor, done: Callable) -> None:
    """Call done(i, result) for each of the jobs `left`, as they end; of an error, for all that have ended."""
    futures, taken = {}, set()
    try:
        for i in left:
            futures[executor.submit(task, jobs[i])] = i
        for future in as_completed(futures):
            taken.add(future)
            done(futures[future], future.result())  # raises here what it raised there
    except BaseException:
        if not getattr(executor, "ends_its_work", False):
            for future in futures:
                future.cancel()
        for future in futures.keys() - taken:
            if future.done() and not future.cancelled() and future.exception() is None:
                done(futures[future], future.result())
        raise


def is_lost(error: Exception, executor: Executor) -> bool:
    """Whether an error is the executor's, and not a job's; a pool of ours says itself what became of it."""
    if getattr(executor, "ends_its_work", False):
        return False
    return isinstance(error, (BrokenExecutor, CancelledError)) or module(error) in CLUSTERS


def module(error: Exception) -> str:
    return type(error).__module__.partition(".")[0]


def lost(error: Exception, results: dict, count: int, record: "Record | None") -> Lost:
    text = " ".join(str(error).split())
    where = (f"they are in {record.path}, and the same call goes on from there" if record
             else "they are in this error's `finished`")
    made = Lost(f"the executor was lost ({type(error).__name__}{': ' if text else ''}{text[:200]}) after "
                f"{len(results)} of {count} jobs: {where}")
    made.finished = dict(results)
    return made


def alone(task: Callable, executor: Executor | None, threads: int | None = None, progress: bool = False,
          **here: object) -> Callable:
    """task(job, threads, progress): with one thread and no bar of its own where an executor runs many.

    here: what this process holds already, and others fetch for themselves.
    """
    if executor is not None:
        return partial(task, threads=1)
    return partial(task, threads=threads, progress=progress, **here)


# ------------------------------------------------------------------------- what is finished is kept

class Record:
    """Results of jobs in a JSON file, by what the jobs are: a run goes on where it was, or another uses them.

    path: of the file: written anew, whole, with each job that ends; `clear` removes what was used of it.
    about: plain data that every result depends on too: the versions of what runs.
    """

    def __init__(self, path: str | PathLike, about: object = None):
        self.path, self.about = require.path("record", path), about
        self.results, self.used = {}, set()
        if self.path.exists():
            try:
                self.results = dict(from_text(self.path.read_text())["finished"])
            except (ValueError, KeyError, TypeError, OSError) as error:
                raise require.InputError(f"{self.path}: is no record of finished jobs, move it away: "
                                         f"{' '.join(str(error).split())}") from None

    def key(self, name: str, job: object) -> str:
        return digest(name, job, self.about)

    def add(self, key: str, result: object) -> object:
        """The result as it would come back from the file."""
        self.used.add(key)
        if key not in self.results:
            self.results[key] = from_text(to_text(result))
            self.write()
        return self.results[key]

    def write(self) -> None:
        with files.whole(self.path) as file:
            file.write(to_text({"finished": self.results}).encode())

    def clear(self) -> None:
        """What was used has become something that is kept elsewhere."""
        self.results = {key: result for key, result in self.results.items() if key not in self.used}
        if self.results:
            self.write()
        else:
            self.path.unlink(missing_ok=True)


def to_text(value: object) -> str:
    """Plain data as JSON: dicts with names, lists, numbers, None, strings, arrays (whose bits are kept)."""
    return json.dumps(value, default=as_json)


def as_json(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        text = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"array": text, "dtype": value.dtype.str, "shape": list(value.shape)}
    raise TypeError(f"a result must be plain data to be recorded, got {value!r}")


def from_text(text: str) -> object:
    return json.loads(text, object_hook=as_array)


def as_array(value: dict) -> object:
    if value.keys() != {"array", "dtype", "shape"}:
        return value
    dtype = np.dtype(value["dtype"])
    if dtype.kind not in "biuf":
        raise ValueError(f"an array of {dtype}")
    return np.frombuffer(base64.b64decode(value["array"]), dtype).reshape(value["shape"])


def digest(*parts: object) -> str:
    """A name for plain data: numbers, strings, None, arrays, and lists, dicts and dataclasses of those."""
    found = hashlib.sha256()

    def feed(value: object) -> None:
        if isinstance(value, np.ndarray):
            found.update(f"array {value.dtype.str} {value.shape} ".encode())
            found.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, (list, tuple)):
            found.update(f"list {len(value)} ".encode())
            for each in value:
                feed(each)
        elif isinstance(value, Mapping):
            feed(["map", *([name, value[name]] for name in sorted(value))])
        elif dataclasses.is_dataclass(value):
            feed([type(value).__name__, {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}])
        elif value is None or isinstance(value, (bool, int, float, str, np.generic)):
            text = repr(value.item() if isinstance(value, np.generic) else value)
            found.update(f"{len(text)} {text} ".encode())
        else:
            raise TypeError(f"a job must be plain data to be recorded, got {value!r}")

    feed(parts)
    return found.hexdigest()
