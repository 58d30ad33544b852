"""Every claim the project makes about the mathematics, measured: |computed - true| <= tolerance."""

import math
import shutil
import sys
import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from .. import claims, require
from ..claims import Finding
from ..fast.parallel import single_threaded_blas
from ..progress import bar
from .frame import Command

INDENT = " " * 6


def selected(only: str | None) -> dict[Callable[[], list[Finding]], list[str]]:
    """{function: the names wanted of it}: all, the one called `only`, or those that begin with it and "-"."""
    names = [name for found in claims.FINDINGS.values() for name in found]
    if only is None:
        wanted = set(names)
    else:
        wanted = {only} & set(names) or {name for name in names if name.startswith(f"{only}-")}
    if not wanted:
        raise require.InputError(f"--only must be the name of a claim, or how some begin, got {only!r}; "
                                 f"the names are {', '.join(names)}")
    chosen = {function: [name for name in found if name in wanted]
              for function, found in claims.FINDINGS.items()}
    return {function: found for function, found in chosen.items() if found}


def measure(chosen: dict[Callable[[], list[Finding]], list[str]], progress: bool = False) -> list[Finding]:
    """The findings that `chosen` names, in order."""
    findings = []
    with bar(progress, len(chosen), "check", " claims") as progress_bar, single_threaded_blas():
        for function, names in chosen.items():
            findings += [finding for finding in claims.find(function) if finding.name in names]
            progress_bar.update(1)
    return findings


def as_json(finding: Finding) -> dict:
    """A finding as --json prints it; a number that is not finite is null."""
    def number(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    return {"name": finding.name, "claim": finding.claim, "computed": finding.computed,
            "discrepancy": number(finding.discrepancy), "tolerance": number(finding.tolerance),
            "why": finding.why, "passed": finding.passed}


def line(finding: Finding, width: int | None = None) -> str:
    """A finding in one line; with a width, the claim and what was measured below each other, wrapped."""
    relation = "<=" if finding.passed else "is not <="
    head = f"{'pass' if finding.passed else 'FAIL'}  {finding.name}: {finding.claim}"
    body = f"{finding.computed}: {finding.discrepancy:.2g} {relation} {finding.tolerance:.2g} ({finding.why})"
    if width is None:
        return f"{head} | {body}"
    return "\n".join(textwrap.fill(part, width, initial_indent=first, subsequent_indent=INDENT,
                                   break_on_hyphens=False) for part, first in ((head, ""), (body, INDENT)))


def summary(findings: list[Finding]) -> str:
    failed = [finding.name for finding in findings if not finding.passed]
    if not failed:
        return "the claim holds" if len(findings) == 1 else f"all {len(findings)} claims hold"
    return f"{len(failed)} of {len(findings)} claims fail: {', '.join(failed)}"


class Check(Command, name="check", about="every claim the project makes about the mathematics, measured; "
            "exit status 1 if one fails"):
    def options(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON to stdout instead of lines")
        parser.add_argument("--only", metavar="NAME",
                            help="one claim, or those whose names begin with NAME, such as kl")

    def settings(self, options: Namespace) -> dict:
        return {"chosen": selected(options.only)}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False) -> list[Finding]:
        return measure(settings["chosen"], progress)

    def table(self, result: list[Finding]) -> str:
        watched = sys.stdout is not None and sys.stdout.isatty()
        width = max(40, shutil.get_terminal_size((100, 24)).columns) if watched else None
        return "\n".join([*(line(finding, width) for finding in result), summary(result)])

    def as_json(self, result: list[Finding]) -> dict:
        return {"claims": [as_json(finding) for finding in result]}

    def status(self, result: list[Finding]) -> int:
        return 0 if all(finding.passed for finding in result) else 1
