"""All splits at once, through any concurrent.futures.Executor: grid searches, choices, final networks."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import replace

from ... import require, spread
from ...fast import parallel
from ...processes import new_processes
from ...progress import bar
from . import protocol


def run(splits: Sequence[protocol.Split], *, epochs: int = 4000, samples: int = 10_000, seed: int = 0,
        q: str = "dropout", executor: Executor | None = None, processes: int | None = None,
        progress: bool = False, record: spread.Record | None = None) -> list[dict]:
    """One result per split of protocol.splits(...), in their order:

    {"data", "split", "keep", "tau", "grid": [{"keep", "tau", "log_likelihood"}, ...], "mc",
    "weight-averaging"}, the last two the scores of the network with the chosen keep and tau on the test rows:
    {"rmse", "log_likelihood"}. q: a name in protocol.QS; of one that learns, keep is None and only tau is
    searched, and "learned" says what the noise became.

    Every network is a job of its own, and its result depends on `seed` and the job alone: not on the
    executor, nor on the order in which jobs end. executor, record: as of `spread.spread`. By default a pool
    of `processes` new processes (all processors, or MINIBAYES_THREADS) of one thread each, gone when this
    returns or is interrupted; a script must then call it below `if __name__ == "__main__":`, as everything
    that starts processes. With dask, or over MPI:

        with dask.distributed.Client(address) as client:
            run(splits, executor=client.get_executor())

        with mpi4py.futures.MPIPoolExecutor() as executor:
            run(splits, executor=executor)
    """
    q = require.choice("q", q, protocol.QS)
    searches = [protocol.grid(split, epochs, samples, seed, q) for split in splits]
    steps = sum(job.steps for search in searches for job in [*search, replace(search[0], final=True)])
    with bar(progress, steps, f"{len(splits)} splits", " steps") as progress_bar, ExitStack() as stack:
        if executor is None:
            executor = stack.enter_context(new_processes(parallel.thread_count(processes)))
        every = [job for search in searches for job in search]
        validated = iter(scores(every, executor, progress_bar.update, record))
        grids = [[(job, next(validated)["mc"]["log_likelihood"]) for job in search] for search in searches]
        # max takes the first of equals, as published.
        finals = [replace(max(grid, key=lambda one: one[1])[0], final=True) for grid in grids]
        tested = scores(finals, executor, progress_bar.update, record)
    results = [{"data": final.split.data, "split": final.split.number, "keep": final.keep, "tau": final.tau,
                "grid": [{"keep": job.keep, "tau": job.tau, "log_likelihood": value} for job, value in grid]}
               | score for final, grid, score in zip(finals, grids, tested, strict=True)]
    return [protocol.in_units_of_the_table(result, split.unit)
            for result, split in zip(results, splits, strict=True)]


def scores(jobs: Sequence[protocol.Job], executor: Executor, report: Callable[[int], None],
           record: spread.Record | None = None) -> list[dict]:
    """protocol.score of every job, in their order; an error or an interrupt calls off what has not begun."""
    return spread.spread(protocol.score, jobs, executor, record=record,
                         finished=lambda i: report(jobs[i].steps))
