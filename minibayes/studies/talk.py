"""What a command says, whatever stdout and stderr are: results must arrive, the rest is said if it can be."""

import sys
from typing import TextIO

from ..progress import Quiet

PLAIN = {"±": "+-", "°": " deg", "×": "x", "–": "-", "—": "-", "≥": ">=", "≤": "<="}


def say(text: str, stream: TextIO | None, end: str = "\n") -> None:
    """Print a text to a stream of any encoding, or with `write` alone; one that is None or closed gets none.

    What the encoding does not have is written plainly (± as +-), or as ?.
    """
    if stream is None or getattr(stream, "closed", False):
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    for sign, plain in PLAIN.items():
        if sign in text and not encodable(sign, encoding):
            text = text.replace(sign, plain)
    if not encodable(text, encoding):
        text = text.encode(encoding, "replace").decode(encoding)
    stream.write(text + end)
    if hasattr(stream, "flush"):
        stream.flush()


def tell(text: str, end: str = "\n") -> None:
    """Say it on stderr, and go on if that cannot be written to."""
    say(text, Quiet(sys.stderr), end)


def encodable(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
