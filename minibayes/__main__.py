"""python -m minibayes NAME. Results go to stdout, progress to stderr; a bad argument is one line, exit 2."""

import argparse
import sys
from collections.abc import Sequence

from . import DivergenceError, InputError, __version__
from .bench import command  # noqa: F401, it registers bench
from .studies import commands
from .studies.frame import say

# The order of the help; any other comes after.
FIRST = ("mnist", "regression", "uci", "rotate", "ood", "debug", "check", "bench")


class Parser(argparse.ArgumentParser):
    """argparse with its errors in one line."""

    def error(self, message: str) -> None:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def build_parser() -> Parser:
    parser = Parser(prog="minibayes", description="Dropout as approximate Bayesian inference, from scratch.",
                    allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"minibayes {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    found = commands()
    for name in sorted(found, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST)):
        about = found[name].about
        subparser = subparsers.add_parser(name, help=about, description=about, allow_abbrev=False)
        found[name].options(subparser)
        subparser.set_defaults(main=found[name].main)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status."""
    options = build_parser().parse_args(argv)

    def failed(status: int, what: str) -> int:
        say(f"minibayes {options.command}: {what}", sys.stderr)
        return status

    try:
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


if __name__ == "__main__":
    sys.exit(main())
