"""What a grader returns: a Verdict made of named findings, with the likeliest cause of what is wrong."""

import contextlib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import require

HERE = str(Path(__file__).parents[1])  # of minibayes


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. says: what was compared; cause: what is wrong; judged: if it could be."""

    name: str
    passed: bool
    says: str = ""
    cause: str = ""
    judged: bool = True

    def __str__(self):
        mark = "wrong" if not self.passed else "ok" if self.judged else "-"
        return f"{mark:<5}  {self.name}: {self.cause or self.says}"


@dataclass(frozen=True)
class Verdict:
    """What a grader found. passed: nothing is wrong; cause: of the first that is; ["dL/dx"]: a Finding."""

    subject: str
    findings: tuple

    @property
    def passed(self) -> bool:
        return all(f.passed for f in self.findings)

    @property
    def wrong(self) -> tuple:
        """The findings that did not pass."""
        return tuple(f for f in self.findings if not f.passed)

    @property
    def cause(self) -> str:
        """The first cause, by name, or nothing."""
        return f"{self.wrong[0].name}: {self.wrong[0].cause}" if self.wrong else ""

    def __getitem__(self, name: str) -> Finding:
        for finding in self.findings:
            if finding.name == name:
                return finding
        known = ", ".join(repr(f.name) for f in self.findings)
        raise require.InputError(f"name must be one of {known}, got {name!r}")

    def __str__(self):
        said = "passes" if self.passed else f"is wrong: {len(self.wrong)} of {len(self.findings)} findings"
        ordered = sorted(self.findings, key=lambda f: f.passed)
        return "\n".join([f"{self.subject} {said}", *(f"  {f}" for f in ordered)])


class Failed(Exception):
    """What ends one finding: the class under examination raised, or gave what cannot be used."""


class Examination:
    """Findings being collected. What the class under examination raises becomes one that names its method."""

    def __init__(self, subject: object, about: str = ""):
        self.subject, self.about = subject, about
        self.findings = []

    def add(self, name: str, wrong: str | None = None, says: str = "", judged: bool = True):
        """One finding; wrong: the cause, None or "" if nothing is. Of one name the first wrong one counts."""
        old = next((i for i, f in enumerate(self.findings) if f.name == name), None)
        finding = Finding(name, not wrong, says, wrong or "", judged)
        if old is None:
            self.findings.append(finding)
        elif self.findings[old].passed and (wrong or not self.findings[old].judged):
            self.findings[old] = finding

    @contextlib.contextmanager
    def part(self, name: str, says: str = "") -> Iterator:
        """with exam.part("dtype", "float32 stays float32") as wrong: wrong("words"), if found."""
        causes = []
        try:
            yield causes.append
        except Failed as failed:
            causes.append(str(failed))
        except Exception as error:  # of a class of the caller's, which may raise anything
            causes.append(raised(error))
        self.add(name, next((c for c in causes if c), None), says)

    def verdict(self) -> Verdict:
        return Verdict(f"{self.subject!r}{self.about}", tuple(self.findings))


def call(subject: object, method: str, *args, **kwargs):
    """subject.method(*args); what it raises comes out as a Failed that names it."""
    try:
        return getattr(subject, method)(*args, **kwargs)
    except Exception as error:
        raise Failed(raised(error, f"{type(subject).__name__}.{method}")) from error


def raised(error: Exception, what: str = "") -> str:
    """"Dense.forward raised ValueError: ..., at line 12 of mine.py": the last line of one's own."""
    frames = [f for f in traceback.extract_tb(error.__traceback__)
              if not f.filename.startswith((HERE, "<__array")) and "site-packages" not in f.filename]
    at = f", at line {frames[-1].lineno} of {Path(frames[-1].filename).name}" if frames else ""
    if not what and not frames and isinstance(error, (require.InputError, NotImplementedError)):
        return " ".join(str(error).split())  # minibayes' own, which says what is wrong
    what = what or (frames[-1].name if frames else "it")
    return f"{what} raised {type(error).__name__}: {' '.join(str(error).split())}{at}"
