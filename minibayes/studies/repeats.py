"""Studies that repeat: --processes N on this machine, or --dask ADDRESS; what is finished is kept.

`run` of such a study takes an executor and a record too (spread.py), and from Python any executor. On the
command line each job that has ended is in NAME.part.json, in the folder of the results, until all are: after
an interrupt, a crash or a lost cluster the same command goes on from there. Its jobs are known by all they
depend on, so that a command with other settings takes from it what is the same, and does the rest.
"""

import logging
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import require
from ..processes import new_processes
from ..spread import Record
from .frame import Study, versions

WAIT = 15  # seconds, for a scheduler to answer and for its first worker
NEEDS_DASK = "--dask needs dask.distributed: pip install '.[dask]'"


class Repeats(Study):
    """A study of several networks, each a job of its own: class Names(Repeats, name=...)."""

    def options(self, parser: ArgumentParser) -> None:
        super().options(parser)
        parser.add_argument("--processes", type=int, metavar="N",
                            help="new processes that share the networks, of one thread each")
        parser.add_argument("--dask", metavar="ADDRESS",
                            help="a dask scheduler, such as tcp://10.0.0.1:8786, whose workers share the "
                                 "networks, with one thread each")

    def settings(self, options: Namespace) -> dict:
        if options.processes is not None:
            options.processes = require.integer("--processes", options.processes, 1, 10_000)
            if options.dask is not None:
                raise require.InputError("--processes N or --dask ADDRESS, not both")
        return super().settings(options)

    def run(self, settings: dict, threads: int | None = None, progress: bool = False,
            executor: Executor | None = None, record: Record | None = None) -> tuple[dict, Any]:
        """(result, figure_data); executor, record: as of `spread.spread`."""
        raise NotImplementedError

    @contextmanager
    def working(self, options: Namespace, folder: Path) -> Iterator[dict]:
        with executor_of(options, self.processes(options)) as executor:
            record = Record(folder / f"{self.name}.part.json", versions())
            yield {"executor": executor, "record": record}
            record.clear()

    def processes(self, options: Namespace) -> int | None:
        """How many new processes there are without --dask; None: this process does the work."""
        return options.processes


@contextmanager
def executor_of(options: Namespace, processes: int | None) -> Iterator[Executor | None]:
    """The one that the options ask for; what was started for it ends with the block."""
    if options.dask is not None:
        with dask(options.dask) as executor:
            yield executor
    elif processes is not None:
        with new_processes(processes) as executor:
            yield executor
    else:
        yield None


@contextmanager
def dask(address: str) -> Iterator[Executor]:
    """The executor of a dask cluster; one line of error if there is none, or its workers lack minibayes."""
    try:
        import distributed
    except ImportError:
        raise require.InputError(NEEDS_DASK) from None
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # or it prints tracebacks of what is lost
    try:
        client = distributed.Client(address, timeout=WAIT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise require.InputError(f"--dask must be the address of a dask scheduler that answers within {WAIT} "
                                 f"s, got {address!r}: {' '.join(str(error).split())[:200]}") from None
    with client:
        check_workers(client, address)
        yield client.get_executor()


def check_workers(client: Any, address: str) -> None:
    """An error if no worker comes, or they have no minibayes; a warning if its bits may be others there."""
    try:
        client.wait_for_workers(1, timeout=WAIT)
        theirs = client.run(versions)
    except TimeoutError:
        raise require.InputError(f"--dask {address}: no worker has come within {WAIT} s") from None
    except ImportError as error:
        raise require.InputError(f"--dask {address}: its workers must have this minibayes installed: "
                                 f"{error}") from None
    mine = versions()
    for worker, found in theirs.items():
        other = [f"{name} {found.get(name)} (here {mine[name]})" for name in mine
                 if found.get(name) != mine[name]]
        if other:
            warnings.warn(f"the worker {worker} has {', '.join(other)}: the last digits may depend on where "
                          "a job ran", stacklevel=2)
