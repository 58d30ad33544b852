"""Every name that the README gives is there after `import minibayes` alone, and what takes long waits."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minibayes

ROOT = Path(minibayes.__file__).parent.parent


def dotted_names():
    """What stands as code in the README and begins with one of the package's names."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = set(re.findall(r"\b(?:mb|minibayes)((?:\.[A-Za-z_]\w*)+)", text))
    return {name for name in found if not name.endswith((".npz", ".json", ".png", ".py"))}


@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="needs a checkout")
def test_the_names_of_the_readme_are_there_after_one_import():
    names = dotted_names() | {".bayes.exact", ".bayes.hmc", ".plots", ".plots.reliability", ".studies.uci", ".truth.exact",
                              ".bench"}
    code = f"""
import sys
import minibayes as mb
assert "matplotlib" not in sys.modules and not hasattr(mb, "nothing")
for name in {sorted(names)!r}:
    thing = mb
    for part in name.split(".")[1:]:
        thing = getattr(thing, part)
assert "matplotlib" in sys.modules and "plots" in dir(mb)
from minibayes import plots
from minibayes.bayes import exact
import minibayes.bayes.hmc
assert plots is mb.plots and exact is mb.truth.exact
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
