"""The poster, panel by panel: no row without a command, no command that is not there, no claim that is not measured."""

import re
from pathlib import Path

import pytest

from minibayes import claims
from minibayes.__main__ import build_parser

PAGE = (Path(__file__).parent.parent / "notebooks" / "THE_POSTER.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("|") and not set(line) <= set("|- ") and "| the command |" not in line]
NAMES = [name for found in claims.FINDINGS.values() for name in found]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[:40])
def test_every_row_ends_in_a_command_that_is_there(row):
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 4 and cells[1] and cells[2], "a claim or question, what holds, a number, a command"
    command, = re.fullmatch(r"`minibayes (.+)`", cells[3]).groups()
    options = build_parser().parse_args(command.split())
    if options.command == "check":
        assert any(name.startswith(options.only) for name in NAMES), options.only


def test_the_number_of_claims_is_that_of_check():
    assert {int(number) for number in re.findall(r"(\d+) claims hold", PAGE)} == {len(NAMES)}


def test_every_panel_and_question_is_there():
    for words in ("approximate inference", "convolutional networks", "MNIST", "debugging", "New distributions", "recurrent", "ambiguity",
                  "compression", "Unsupervised", "data analysis", "Combine", "Interpretable", "Practical"):
        assert words in PAGE, words
