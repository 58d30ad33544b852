"""@claim: what is declared is found, a name belongs to one function, a new file needs no edit elsewhere."""

import sys

import pytest

from minibayes import __main__, claims, require
from minibayes.claims import Finding, claim


@pytest.fixture(autouse=True)
def registry():
    """FINDINGS, as it was before when the test is over."""
    before = dict(claims.FINDINGS)
    yield claims.FINDINGS
    claims.FINDINGS.clear()
    claims.FINDINGS.update(before)


def finding(name, discrepancy=0.0):
    return Finding(name, "a claim", "computed", discrepancy, 1.0, "why")


def test_a_claim_of_ones_own(registry, capsys):
    """Two names under the decorator, and the command knows them, after all others."""
    @claim("mine-first", "mine-second")
    def measured():
        """What it does."""
        return [finding("mine-first"), finding("mine-second", 2.0)]

    assert tuple(registry) == (*claims.CLAIMS, measured)
    assert registry[measured] == ("mine-first", "mine-second")
    assert measured.__name__ == "measured" and measured.__doc__ == "What it does."
    assert __main__.main(["check", "--only", "mine"]) == 1
    assert capsys.readouterr().out.endswith("\n1 of 2 claims fail: mine-second\n")


FILE = """from .claim import Finding, claim


@claim("mine-one")
def one():
    return [Finding("mine-one", "a", "b", 0.0, 1.0, "c")]
"""


def test_a_new_file_is_read(registry, monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    monkeypatch.setattr(claims, "__path__", [*claims.__path__, str(tmp_path)])
    claims.gather()
    mine = sys.modules.pop("minibayes.claims.mine")
    del claims.mine
    assert tuple(registry) == (*claims.CLAIMS, mine.one) and registry[mine.one] == ("mine-one",)
    assert mine.one()[0].passed


@pytest.mark.parametrize("found", ["", "mine-a", "mine-b mine-a", "mine-a mine-b mine-c", "mine-a mine-B"])
def test_what_is_found_must_be_what_is_declared(found):
    @claim("mine-a", "mine-b")
    def measured():
        return [finding(name) for name in found.split()]

    with pytest.raises(require.InputError) as error:
        measured()
    said = str(error.value)
    assert said.startswith(f"{__name__}.") and f"{tuple(found.split())}" in said
    assert "measured must find what it declares, ('mine-a', 'mine-b'), got (" in said
    failed = claims.find(measured)
    assert [one.name for one in failed] == ["mine-a", "mine-b"] and not any(one.passed for one in failed)
    assert {one.computed for one in failed} == {f"InputError: {said}"}


@pytest.mark.parametrize("name", ["", "Mine", "mine_one", "mine--one", "-mine", "mine-", "mine one", len])
def test_a_name_that_cannot_be(name, registry):
    with pytest.raises(require.InputError, match="a claim's name must be lower-case-with-hyphens, got "):
        claim("mine-first", name)
    assert tuple(registry) == claims.CLAIMS


def test_a_name_belongs_to_one_function(registry):
    taken = r"\.dense declares \['weights-dense'\], which .*weights\.dense finds already"
    with pytest.raises(require.InputError, match=taken):
        @claim("mine-first", "weights-dense")
        def dense():
            return []
    with pytest.raises(require.InputError, match=r"declares \['mine-first'\] more than once"):
        claim("mine-first", "mine-first")
    with pytest.raises(require.InputError, match="must be given the names of what .*, got none"):
        claim()
    assert tuple(registry) == claims.CLAIMS


def test_a_function_defined_again_replaces_itself(registry):
    for names in (("mine-first",), ("mine-first", "mine-second")):
        @claim(*names)
        def measured():
            return []
    assert tuple(registry) == (*claims.CLAIMS, measured)
    assert registry[measured] == ("mine-first", "mine-second")
