"""options -> settings -> result -> JSON, table, figure: the frame that every study has in common.

A new study is one class in one file of this folder; nothing else names it:

    class Coin(Study, name="coin", about="how fair is a coin? table, coin.png, coin.json"):
        counts = {"throws": Count("K", "throws of the coin", 1, 10**6)}         # --throws K
        full, quick = {"throws": 10_000}, {"throws": 100}                       # its default; with --quick

        def run(self, settings, threads=None, progress=False):
            heads = np.random.default_rng(settings["seed"]).binomial(settings["throws"], 0.5)
            return {"heads": int(heads)}, None

        def table(self, result):
            return f"{result['heads']} of {result['settings']['throws']} throws were heads"

        def figure(self, result, figure_data):
            ...                                                                 # an axis of minibayes.plots
"""

import json
import platform
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from .. import __version__, files, plots, require
from ..fast import parallel
from .talk import say, tell

COMMANDS: dict[str, "Command"] = {}  # {name: command}, in the order in which they were defined
JSON_HELP = "print the JSON to stdout instead of the table"
THREADS_HELP = "threads (default: all processors)"


class Command:
    """One name of the command line: it prints what it finds, as text or with --json as JSON."""

    name = about = ""

    def __init_subclass__(cls, name: str | None = None, about: str = ""):
        super().__init_subclass__()
        if name is not None:
            cls.name, cls.about = name, about
            COMMANDS[name] = cls()

    def options(self, parser: ArgumentParser) -> None:
        """Add the options; one of them is --json."""
        raise NotImplementedError

    def settings(self, options: Namespace) -> dict:
        """What the options say, or an error that names the one that is wrong: before any work."""
        raise NotImplementedError

    def run(self, settings: dict, threads: int | None = None, progress: bool = False) -> Any:
        """The result."""
        raise NotImplementedError

    def table(self, result: Any) -> str:
        """What is printed without --json."""
        raise NotImplementedError

    def as_json(self, result: Any) -> dict:
        """What --json prints."""
        return result

    def status(self, result: Any) -> int:
        """The exit status."""
        return 0

    def main(self, options: Namespace) -> int:
        """All of it; the exit status."""
        result = self.run(self.settings(options), thread_count(options), progress=True)
        self.show(result, options.json)
        return self.status(result)

    def show(self, result: Any, as_json: bool) -> None:
        say(to_json(self.as_json(result)) if as_json else self.table(result), sys.stdout)


class Count(NamedTuple):
    """An option that is a whole number in [low, high]: its letter in the help, and what it counts."""

    letter: str
    about: str
    low: int
    high: int


class Study(Command):
    """A command that also writes NAME.json and NAME.png.

    `run` gives (result, figure_data): what the JSON holds beside settings and versions, and what only
    `figure` needs. A "settings" in the result takes the place of the ones that `run` was given.
    """

    counts: dict[str, Count] = {}
    full: dict = {}  # the default settings, of which some may be counts
    quick: dict = {}  # those of --quick
    timed = False  # whether the last line says how long it took

    def options(self, parser: ArgumentParser) -> None:
        """What every study takes, what this one adds, and its counts: of "seeds", --seed is the first."""
        parser.add_argument("--quick", action="store_true", help="a small version, about a minute")
        parser.add_argument("--seed", type=int, default=0, metavar="S", help="first seed (default 0)")
        parser.add_argument("--out", default=".", metavar="DIR",
                            help="folder for the figure and the JSON (default: here)")
        parser.add_argument("--json", action="store_true", help=JSON_HELP)
        parser.add_argument("--threads", type=int, metavar="N", help=THREADS_HELP)
        self.add_options(parser)
        for name, count in self.counts.items():
            full, quick = self.full[name], self.quick[name]
            default = f"{full:,}" if full == quick else f"{full:,}; quick: {quick:,}"
            parser.add_argument(f"--{name}", type=int, metavar=count.letter,
                                help=f"{count.about} (default {default})")

    def add_options(self, parser: ArgumentParser) -> None:
        """Options that are no counts; `settings` must then know them."""

    def settings(self, options: Namespace) -> dict:
        """{"quick", "seed" or all "seeds", `full` or `quick` with the counts that were given}, checked."""
        chosen = dict(self.quick if options.quick else self.full)
        for name, count in self.counts.items():
            if getattr(options, name) is not None:
                chosen[name] = require.integer(f"--{name}", getattr(options, name), count.low, count.high)
        if "seeds" not in self.counts:
            seed = require.integer("--seed", options.seed, 0, 2**64 - 1)
            return {"quick": options.quick, "seed": seed} | chosen
        first = require.integer("--seed", options.seed, 0)
        end = require.integer("--seed + --seeds", first + chosen["seeds"], 1, 2**64)
        return {"quick": options.quick} | chosen | {"seeds": list(range(first, end))}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False) -> tuple[dict, Any]:
        """(result, figure_data)."""
        raise NotImplementedError

    def figure(self, result: dict, figure_data: Any) -> plots.Axes:
        """The finished figure: any of its axes."""
        raise NotImplementedError

    def closing(self, wrote: str, seconds: float, threads: int) -> str:
        """The last line on stderr: which files were written."""
        return f"{wrote} after {seconds:.0f} s" if self.timed else wrote

    def main(self, options: Namespace) -> int:
        """All of it; what was worked for is not lost, whatever fails after the work."""
        settings, threads = self.settings(options), thread_count(options)
        folder = output_folder(options.out)
        with self.working(options, folder) as how:
            return self.status(self.worked(settings, threads, how, folder, options.json))

    def working(self, options: Namespace, folder: Path) -> AbstractContextManager[dict]:
        """More arguments of `run`: what it works with, which ends when all is done (repeats.py)."""
        return nullcontext({})

    def worked(self, settings: dict, threads: int, how: dict, folder: Path, as_json: bool) -> dict:
        """The result, once it is written and shown."""
        began = time.perf_counter()
        result, figure_data = self.run(settings, threads, progress=True, **how)
        seconds = time.perf_counter() - began
        result = {"settings": settings, "versions": versions()} | result
        written = []

        def write(kind: str, save: Callable[[Path], None]) -> None:
            path = folder / f"{self.name}.{kind}"
            save(path)
            written.append(str(path))

        def close() -> None:
            wrote = f"wrote {' and '.join(written) or 'nothing'}"
            tell(self.closing(wrote, seconds, threads))

        each(lambda: write("json", lambda path: write_json(path, result)),
             lambda: self.show(result, as_json),
             lambda: write("png", lambda path: plots.save(self.figure(result, figure_data), path)), close)
        return result


class Epochs(Study):
    """A study that trains for so many --epochs, part of one too: "epochs" is in full and quick."""

    def add_options(self, parser: ArgumentParser) -> None:
        full, quick = (self.epochs_in_words(chosen["epochs"]) for chosen in (self.full, self.quick))
        default = full if full == quick else f"{full}; quick: {quick}"
        parser.add_argument("--epochs", type=float, metavar="E", help=f"training epochs (default {default})")

    def settings(self, options: Namespace) -> dict:
        settings = super().settings(options)
        if options.epochs is not None:
            settings["epochs"] = require.real("--epochs", options.epochs, 0, 10_000, open_low=True)
        return settings

    def epochs_in_words(self, epochs: float | None) -> str:
        """As the help says them."""
        return f"{epochs}"


def each(*steps: Callable[[], None]) -> None:
    """Take every step, whatever becomes of those before it; then raise the first error, if there was one."""
    errors = []
    for step in steps:
        try:
            step()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


def thread_count(options: Namespace) -> int | None:
    """--threads, or as many as there are processors; None for a command that has no such option."""
    if "threads" not in options:
        return None
    threads = options.threads
    return parallel.thread_count(None if threads is None else require.integer("--threads", threads, 1))


def output_folder(path: str) -> Path:
    """`path` as a folder that exists and can be written to; an error before any work if it cannot."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, ValueError) as error:  # ValueError: a null byte
        said = getattr(error, "strerror", None) or error
        wanted = "--out must be a folder that can be written to"
        raise require.InputError(f"{wanted}, got {str(path)!r}: {said}") from None


def versions() -> dict[str, str]:
    """The versions a result depends on, and the processor."""
    return {"minibayes": __version__, "python": platform.python_version(), "machine": platform.machine(),
            "numpy": metadata.version("numpy"), "numba": metadata.version("numba"),
            "blas": parallel.bound_blas()}


def to_json(result: dict) -> str:
    return json.dumps(result, indent=1, allow_nan=False)


def write_json(path: Path, result: dict) -> None:
    """Write `result` as JSON, whole or not at all."""
    text = to_json(result) + "\n"
    with files.whole(path) as file:
        file.write(text.encode())
