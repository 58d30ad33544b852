"""The command line: python -m minibayes NAME [options]. Results go to stdout, progress to stderr; a bad argument is one line, exit 2."""

import argparse
import sys

from . import DivergenceError, InputError, __version__
from .bench import command as bench
from .studies import check, debug, mnist, ood, regression, rotate, uci

COMMANDS = {
    "mnist": (mnist, "the poster's MNIST result: LeNet none / ip / all, by weight averaging and by MC; table, mnist.png, mnist.json"),
    "regression": (regression, "y = x sin x, and Mauna Loa CO2 scored on its real later months; table, regression.png, regression.json"),
    "uci": (uci, "the published regression benchmark on Boston and Concrete, or on a table of your own; table, uci.png, uci.json"),
    "rotate": (rotate, "a turned digit: soft-max clouds, entropy and mutual information against the angle; rotate.png, rotate.json"),
    "ood": (ood, "inputs unlike the training data: detection, calibration under shift, selective prediction; ood.png, ood.json"),
    "debug": (debug, "which training labels are wrong, and which test digits does the network not know? debug.png, debug.json"),
    "check": (check, "every claim the project makes about the mathematics, measured; exit status 1 if one fails"),
    "bench": (bench, "speed on this machine as ratios: against its own sgemm peak, and against PyTorch if it is installed"),
}


class Parser(argparse.ArgumentParser):
    """argparse with its errors in one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def build_parser():
    parser = Parser(prog="minibayes", description="Dropout as approximate Bayesian inference, from scratch.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"minibayes {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for name, (module, text) in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        module.add_arguments(sub)
        sub.set_defaults(main=module.main)
    return parser


def main(argv=None):
    args = build_parser().parse_args(argv)
    try:
        status = args.main(args) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read the output, such as head, has had enough
        sys.stdout = None
        return 141
    except (InputError, OSError) as error:
        print(f"minibayes {args.command}: error: {error}", file=sys.stderr)
        return 2
    except DivergenceError as error:
        print(f"minibayes {args.command}: diverged: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"minibayes {args.command}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
