"""python -m minibayes NAME. Results go to stdout, progress to stderr; a bad argument is one line, exit 2."""

import argparse
import difflib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from . import DivergenceError, InputError, __version__
from .bench import command  # noqa: F401, it registers bench
from .studies import commands
from .studies.talk import say, tell

# The order of the help; any other comes after.
FIRST = ("mnist", "regression", "uci", "rotate", "ood", "debug", "posteriors", "keep", "sparsify", "compress",
         "names", "language", "active", "vae", "pooling", "peers", "train", "predict", "check", "bench")


class Verbatim(argparse.HelpFormatter):
    """A help text is what it says: "95 %" is no place to fill in."""

    def _get_help_string(self, action: argparse.Action) -> str:
        return action.help.replace("%", "%%")


class Parser(argparse.ArgumentParser):
    """argparse with its errors in one line, which names the help of the command and what was nearly said."""

    def __init__(self, **options) -> None:
        super().__init__(formatter_class=Verbatim, allow_abbrev=False, **options)

    def error(self, message: str) -> None:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None,
                         **options) -> tuple[argparse.Namespace, list[str]]:
        """No other argument is passed on to the parser above, which would name its own help."""
        found, unknown = super().parse_known_args(args, namespace, **options)
        if unknown:
            known = [name for action in self._actions for name in action.option_strings]
            near = [nearest(text.partition("=")[0], known) for text in unknown if text.startswith("-")]
            self.error(f"unrecognized arguments: {' '.join(unknown)}" + "".join(near))
        return found, unknown

    def _check_value(self, action: argparse.Action, value: str) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            error.message += nearest(str(value), map(str, action.choices))
            raise

    def _print_message(self, message: str, file: TextIO | None = None) -> None:
        """Of help and --version on stdout, and of errors on stderr."""
        if file is not sys.stdout:
            return tell(message, end="")
        try:
            say(message, file, end="")
        except OSError as error:
            tell(f"{self.prog}: error: {error}")
            sys.exit(2)


def nearest(name: str, known: Sequence[str]) -> str:
    """What to add to a message about a name that is not known."""
    found = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"; did you mean {found[0]}?" if found else ""


def build_parser() -> Parser:
    parser = Parser(prog="minibayes", description="Dropout as approximate Bayesian inference, from scratch.")
    parser.add_argument("--version", action="version", version=f"minibayes {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    found = commands()
    for name in sorted(found, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST)):
        about = found[name].about
        subparser = subparsers.add_parser(name, help=about, description=about)
        found[name].options(subparser)
        subparser.set_defaults(main=found[name].main)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status."""
    options = build_parser().parse_args(argv)

    def failed(status: int, what: str) -> int:
        tell(f"minibayes {options.command}: {what}")
        return status

    def warn(message: Warning, *where) -> None:
        failed(0, f"warning: {' '.join(str(message).split())}")

    try:
        with warnings.catch_warnings():
            warnings.showwarning = warn
            return options.main(options)
    except BrokenPipeError:  # whoever read the output, such as head, has had enough
        sys.stdout = None
        return 141
    except (InputError, OSError) as error:
        return failed(2, f"error: {error}")
    except DivergenceError as error:
        return failed(1, f"diverged: {error}")
    except KeyboardInterrupt:
        return failed(130, "interrupted")


def run() -> int:
    """`main` as a program: with three open streams, and no complaint at its end about one that is full."""
    for number in (0, 1, 2):  # or the first file that is opened would take the place of a closed stderr
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    status = main()
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        sys.stdout = None
        status = status or 2
    return status


if __name__ == "__main__":
    sys.exit(run())
