"""The notebooks: committed with the outputs of their sources, complete, running in a fresh kernel."""

import ast
import functools
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.name[0].isdigit())
LARGEST, ASSERTS, EXERCISES = 600_000, 6, 3
COLUMNS = 96  # a web page cuts wider cells off


def load_build():
    spec = importlib.util.spec_from_file_location("notebooks_build", FOLDER / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = load_build()


@functools.cache
def source(name):
    return build.read(FOLDER / f"{name}.py")


@functools.cache
def committed(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def asserts(cells):
    trees = [ast.parse(cell.source) for cell in cells if cell.cell_type == "code"]
    return sum(isinstance(node, ast.Assert) for tree in trees for node in ast.walk(tree))


def outputs(nb):
    return [output for cell in nb.cells if cell.cell_type == "code" for output in cell.outputs]


def test_numbers_have_no_gap_and_every_source_has_a_notebook_and_a_picture():
    assert NAMES and [int(name[:2]) for name in NAMES] == list(range(1, len(NAMES) + 1))
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES
    assert [path.stem for path in build.sources()] == NAMES
    assert {path.stem for path in (FOLDER / "pictures").glob("[0-9]*.png")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_notebook_is_that_of_its_source(name):
    assert build.stale(FOLDER / f"{name}.py") is None


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_notebook_has_outputs_and_no_errors(name):
    nb, path = committed(name), FOLDER / f"{name}.ipynb"
    nbformat.validate(nb)
    assert path.stat().st_size <= LARGEST
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert outputs(nb) and all(output.output_type != "error" for output in outputs(nb))
    assert any("image/png" in output.get("data", {}) for output in outputs(nb))
    assert all(set(cell.metadata) <= {"tags"} for cell in nb.cells)
    assert set(nb.metadata) == {"kernelspec", "language_info", "minibayes"}


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_opens_with_the_claim_and_checks_what_it_says(name):
    cells = source(name).cells
    first = cells[0]
    assert first.cell_type == "markdown" and re.match(rf"# {int(name[:2])}\. \S", first.source)
    assert first.source.splitlines()[2].startswith("**The poster's claim, in our words.** ")
    assert asserts(cell for cell in cells if not build.tagged(cell, "solution")) >= ASSERTS
    assert any("MINIBAYES_QUICK" in cell.source for cell in cells if cell.cell_type == "code")


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_ends_with_three_exercises_with_hidden_solutions(name):
    cells, numbers = source(name).cells, []
    for i, cell in enumerate(cells):
        found = re.match(r"### Exercise (\d+)$", cell.source.splitlines()[0])
        if cell.cell_type == "markdown" and found:
            numbers.append(int(found[1]))
            solution = []
            for after in cells[i + 1:]:
                if not build.tagged(after, "solution"):
                    break
                solution.append(after)
            assert asserts(solution) >= 1, f"exercise {found[1]} has no solution that checks itself"
            assert not build.tagged(cell, "solution")
    assert numbers == list(range(1, EXERCISES + 1))
    hidden = [cell for cell in committed(name).cells if build.tagged(cell, "solution")]
    assert len(hidden) == EXERCISES
    for cell in hidden:
        assert cell.cell_type == "markdown" and cell.source.startswith("<details>\n<summary>")
        assert cell.source.endswith("\n</details>")


@pytest.mark.parametrize("name", [*NAMES, "TEMPLATE"])
def test_no_line_of_a_source_is_wider_than_a_cell_on_a_web_page(name):
    lines = (FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()
    wide = [number for number, line in enumerate(lines, 1) if len(line) > COLUMNS]
    assert not wide, f"{name}.py has more than {COLUMNS} columns in the lines {wide}"


@pytest.mark.parametrize("name", NAMES)
def test_formulas_are_typeset_alike_in_jupyter_and_on_web_pages(name):
    """What a web page's markdown would take for markup, or its LaTeX would not know."""
    for cell in source(name).cells:
        if cell.cell_type != "markdown":
            continue
        text = re.sub(r"```.*?```|`[^`\n]*`", "", cell.source, flags=re.DOTALL)
        assert text.count("$") % 2 == 0, f"an odd number of $ in {text[:80]!r}"
        for line in re.sub(r"\$\$.+?\$\$", "", text, flags=re.DOTALL).splitlines():
            assert line.count("$") % 2 == 0, f"a formula in the text must end on its line: {line!r}"
        for formula in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", text, flags=re.DOTALL):
            inner = formula[0] or formula[1]
            unsafe = r"\\operatorname|\\newcommand|\\\{|(?<!\\left)(?<!\\right)\|"
            assert not re.search(unsafe, inner), f"not safe on web pages: {inner}"
            assert not re.search(r"[<>*]", inner), f"use \\lt, \\gt or \\ast: {inner}"
            assert not formula[1] or inner == inner.strip(), f"blanks inside the dollars: {inner!r}"


# The build itself, on a notebook of its own.

SAMPLE = '''# %% [markdown]
# # 1. A sample

# %% tags=["picture"]
import matplotlib.pyplot as plt

plt.plot([1, 2])
plt.show()

# %% [markdown]
# ### Exercise 1

# %% [markdown] tags=["solution"]
# Words.

# %% tags=["solution"]
print("printed")
'''


@pytest.fixture
def sample(tmp_path, monkeypatch):
    path = tmp_path / "01_sample.py"
    path.write_text(SAMPLE)
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    return path


def test_a_notebook_without_its_output_or_with_another_source_is_stale(sample, tmp_path):
    assert "is missing" in build.stale(sample, tmp_path)
    nb = build.read(sample)
    nb.cells[-1].outputs = [nbformat.v4.new_output("stream", name="stdout", text="printed\n")]
    build.fold(nb, sample)
    nbformat.write(nb, tmp_path / "01_sample.ipynb")
    assert build.stale(sample, tmp_path) is None
    nb.cells[1].source += "\n"
    nbformat.write(nb, tmp_path / "01_sample.ipynb")
    assert "other cells" in build.stale(sample, tmp_path)
    sample.write_text(SAMPLE + "# a comment more\n")
    assert "built from another" in build.stale(sample, tmp_path)


def test_solutions_are_folded_into_one_closed_cell_with_what_they_print(sample):
    nb = build.read(sample)
    nb.cells[-1].outputs = [nbformat.v4.new_output("stream", name="stdout", text="printed\n"),
                            nbformat.v4.new_output("execute_result", data={"text/plain": "3"})]
    build.fold(nb, sample)
    assert [cell.cell_type for cell in nb.cells] == ["markdown", "code", "markdown", "markdown"]
    parts = ["<details>\n<summary><b>Solution</b> (click to open)</summary>", "Words.",
             '```python\nprint("printed")\n```', "It prints",
             "```text\nprinted\n3\n```", "</details>"]
    assert nb.cells[-1].source == "\n\n".join(parts)


@pytest.mark.parametrize("output, complaint", [
    (nbformat.v4.new_output("stream", name="stderr", text="Warning: w"), "writes to stderr"),
    (nbformat.v4.new_output("execute_result", data={"text/plain": "<Line2D at 0x7f14bdf1cdd0>"}),
     "object's address"),
    (nbformat.v4.new_output("stream", name="stdout", text=f"{Path.home()}/x"), "path of this machine")])
def test_outputs_that_do_not_belong_into_a_committed_file_stop_the_build(sample, output, complaint):
    nb = build.read(sample)
    nb.cells[1].outputs = [output]
    with pytest.raises(build.BuildError, match=complaint):
        build.plain(nb, sample)


def test_a_name_that_no_notebook_has_and_an_empty_folder_are_errors(sample):
    for name in ("1", "01_sample.py"):
        assert [path.stem for path in build.sources([name])] == ["01_sample"]
    with pytest.raises(build.BuildError, match="no notebook is called '2'; there are 01_sample"):
        build.sources(["2"])
    sample.unlink()
    with pytest.raises(build.BuildError, match="no notebook found"):
        build.sources()


def run_build(*arguments, **environment):
    return subprocess.run([sys.executable, FOLDER / "build.py", *map(str, arguments)], capture_output=True,
                          text=True, timeout=1800,
                          env=build.os.environ | environment)


@pytest.mark.slow
def test_every_notebook_runs_in_a_fresh_kernel_and_nothing_is_left_out(tmp_path):
    """In quick mode; what ran is counted by the files it wrote, and compared with the sources on disk."""
    ran = run_build("--quick", "--out", tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"{len(NAMES)} notebooks ran, 0 failed\n"
    assert sorted(path.stem for path in tmp_path.glob("*.ipynb")) == NAMES
    for name in NAMES:
        nb = nbformat.read(tmp_path / f"{name}.ipynb", as_version=4)
        assert outputs(nb) and all(output.output_type != "error" for output in outputs(nb))
        assert build.stale(FOLDER / f"{name}.py", tmp_path) is None


@pytest.mark.slow
def test_building_twice_gives_the_same_bytes_and_a_failing_cell_is_named(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "01_sample.py").write_text(SAMPLE)
        (tmp_path / folder / "build.py").write_bytes((FOLDER / "build.py").read_bytes())
        run = subprocess.run([sys.executable, tmp_path / folder / "build.py"], capture_output=True, text=True,
                             timeout=300)
        assert run.returncode == 0, run.stderr
    for file in ("01_sample.ipynb", "pictures/01_sample.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    with open(tmp_path / "a" / "01_sample.py", "a") as file:
        file.write("\n# %%\nassert 1 + 1 == 3, 'a failing cell'\n")
    before = (tmp_path / "a" / "01_sample.ipynb").read_bytes()
    run = subprocess.run([sys.executable, tmp_path / "a" / "build.py"], capture_output=True, text=True,
                         timeout=300)
    assert run.returncode == 1 and run.stdout == "0 notebooks ran, 1 failed\n"
    assert "01_sample.py: the cell that begins \"assert 1 + 1 == 3, 'a failing cell'\" failed" in run.stderr
    assert (tmp_path / "a" / "01_sample.ipynb").read_bytes() == before
