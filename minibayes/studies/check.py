"""Every claim the project makes about the mathematics, measured: |computed - true| <= tolerance, one line each."""

import math
import shutil
import sys
import textwrap

from .. import claims, require
from ..fast.parallel import single_threaded_blas
from ..progress import bar
from . import common

INDENT = " " * 6


def add_arguments(parser):
    parser.add_argument("--json", action="store_true", help="print JSON to stdout instead of lines")
    parser.add_argument("--only", default=None, metavar="NAME", help="one claim, or those whose names begin with NAME, such as kl")


def selected(only):
    """{function: the names wanted of it}: all, the one called `only`, or those that begin with it and a hyphen."""
    names = [name for found in claims.FINDINGS.values() for name in found]
    if only is None:
        wanted = set(names)
    else:
        wanted = {only} & set(names) or {name for name in names if name.startswith(f"{only}-")}
    if not wanted:
        raise require.InputError(f"--only must be the name of a claim, or how some begin, got {only!r}; the names are {', '.join(names)}")
    chosen = {function: [name for name in found if name in wanted] for function, found in claims.FINDINGS.items()}
    return {function: found for function, found in chosen.items() if found}


def measure(chosen, progress=False):
    """The findings that `chosen` names, in order."""
    findings = []
    with bar(progress, len(chosen), "check", " claims") as shown, single_threaded_blas():
        for function, names in chosen.items():
            findings += [finding for finding in claims.find(function) if finding.name in names]
            shown.update(1)
    return findings


def as_json(finding):
    """A finding as --json prints it; a number that is not finite is null."""
    def number(value):
        return float(value) if math.isfinite(value) else None

    return {"name": finding.name, "claim": finding.claim, "computed": finding.computed, "discrepancy": number(finding.discrepancy),
            "tolerance": number(finding.tolerance), "why": finding.why, "passed": finding.passed}


def line(finding, width=None):
    """A finding in one line; with a width, the claim and what was measured below each other, wrapped."""
    relation = "<=" if finding.passed else "is not <="
    head = f"{'pass' if finding.passed else 'FAIL'}  {finding.name}: {finding.claim}"
    body = f"{finding.computed}: {finding.discrepancy:.2g} {relation} {finding.tolerance:.2g} ({finding.why})"
    if width is None:
        return f"{head} | {body}"
    return "\n".join([textwrap.fill(head, width, subsequent_indent=INDENT, break_on_hyphens=False),
                      textwrap.fill(body, width, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False)])


def summary(findings):
    failed = [finding.name for finding in findings if not finding.passed]
    if not failed:
        return "the claim holds" if len(findings) == 1 else f"all {len(findings)} claims hold"
    return f"{len(failed)} of {len(findings)} claims fail: {', '.join(failed)}"


def main(args):
    """Print what was found; the exit status is 1 if a claim fails."""
    findings = measure(selected(args.only), progress=True)
    if args.json:
        print(common.to_json({"claims": [as_json(finding) for finding in findings]}))
    else:
        width = max(40, shutil.get_terminal_size((100, 24)).columns) if sys.stdout.isatty() else None
        print("\n".join([*(line(finding, width) for finding in findings), summary(findings)]))
    return 0 if all(finding.passed for finding in findings) else 1
