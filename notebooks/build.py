"""NN_name.py -> NN_name.ipynb: runs every notebook in a fresh kernel, writes it with its outputs.

    python notebooks/build.py [NAME ...] [--quick] [--check] [--out DIR] [--jobs N]

NAME is a number (3) or a name (03_the_objective); without one all notebooks are built.

The source of truth is NN_name.py, in jupytext's percent format; the conventions are in TEMPLATE.py.
Cells tagged "solution" are executed like all others, then folded: those that follow one exercise
become one hidden cell, `<details><summary>Solution</summary>`, with their code and what it printed.
It is closed at first in Jupyter and on web pages alike (those show the code cells that Jupyter's own
metadata hides).

What is written is stable: ids come from the cells' sources, no times are kept, and building twice
gives the same file, timings that a notebook prints itself aside. An error, a warning on stderr, an
object's address or a path of this machine in an output stops the build.
"""

import argparse
import hashlib
import os
import re
import sys
import tempfile
import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import jupytext
import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tqdm import tqdm

from minibayes import files

FOLDER = Path(__file__).resolve().parent
ALONE = ("10_how_it_is_fast",)  # measures time: runs when no other notebook does
CELL_TIMEOUT = 900  # seconds
METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"}}
ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
PRINTED = "It prints\n\n```text\n{}\n```"


class BuildError(Exception):
    """A notebook that cannot be built, and why, in words for its author."""


class ThisPython(KernelSpecManager):
    """The one kernel there is: the interpreter that runs this file, whatever else is installed."""

    def get_kernel_spec(self, kernel_name):
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


def sources(names=()):
    """The notebooks' sources in their order; of all, or of those named by number, name or file."""
    every = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
    if not every:
        raise BuildError(f"no notebook found in {FOLDER}")
    chosen = []
    for name in names:
        found = [p for p in every if name.isdigit() and int(p.stem[:2]) == int(name)
                 or p.stem == Path(name).stem]
        if not found:
            raise BuildError(f"no notebook is called {name!r}; there are {', '.join(p.stem for p in every)}")
        chosen += found
    return sorted(set(chosen)) or every


def read(path):
    """The source as a notebook without outputs, with its fingerprint, by which stale outputs are found."""
    text = path.read_text(encoding="utf-8")
    cells = [cell for cell in jupytext.reads(text, fmt="py:percent").cells if cell.source.strip()]
    metadata = METADATA | {"minibayes": {"source_sha256": sha256(text)}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def tagged(cell, tag):
    return tag in cell.metadata.get("tags", [])


def name_of(cell):
    """A cell by its first words, for messages."""
    return repr(next((line for line in cell.source.splitlines() if line.strip()), "")[:80])


def execute(nb, path, quick=False, on_cell=None):
    """Run all cells of `nb` in a fresh kernel, with this checkout's minibayes; the outputs go into nb."""
    env = os.environ | {"PYTHONPATH": str(FOLDER.parent), "PYTHONHASHSEED": "0",
                        "MINIBAYES_QUICK": "1" if quick else "",
                        "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    with tempfile.TemporaryDirectory() as profile:
        manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisPython())
        client = NotebookClient(nb, km=manager, timeout=CELL_TIMEOUT, record_timing=False,
                                coalesce_streams=True,
                                resources={"metadata": {"path": str(path.parent)}}, on_cell_executed=on_cell)
        client.owns_km = True  # the kernel ends with its notebook
        try:
            client.execute(env=env | {"IPYTHONDIR": profile})
        except CellExecutionError as error:
            cell = next(c for c in nb.cells if any(o.output_type == "error" for o in c.get("outputs", [])))
            raise BuildError(f"{path.name}: the cell that begins {name_of(cell)} failed:\n{error}") from None
        except (CellTimeoutError, DeadKernelError) as error:
            raise BuildError(f"{path.name}: {error}") from None


def plain(nb, path):
    """Leave in nb what belongs into a committed file, or say which cell printed what does not."""
    for cell in nb.cells:
        tags = list(cell.metadata.get("tags", []))
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        for output in cell.get("outputs", []):
            output.pop("metadata", None) if output.output_type == "stream" else output.update(metadata={})
            text = output.text if output.output_type == "stream" else output.data.get("text/plain", "")
            for what, bad in (("writes to stderr", output.get("name") == "stderr"),
                              ("shows an object's address", ADDRESS.search(text)),
                              ("shows a path of this machine", str(FOLDER.parent) in text
                               or str(Path.home()) + os.sep in text)):
                if bad:
                    raise BuildError(f"{path.name}: the cell that begins {name_of(cell)} {what}: "
                                     f"{text.strip()[:300]}")


def hide(cells, path):
    """One hidden cell from the executed solution cells of one exercise: words, code, and what it printed."""
    parts = ["<details>\n<summary><b>Solution</b> (click to open)</summary>"]
    for cell in cells:
        parts.append(cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```")
        printed = []
        for output in cell.get("outputs", []):
            if "data" in output and not output.data:
                continue  # a bar that has left
            if "data" in output and set(output.data) != {"text/plain"}:
                raise BuildError(f"{path.name}: the solution that begins {name_of(cell)} must print text "
                                 f"only, it shows {set(output.data)}")
            printed.append((output.data["text/plain"] if "data" in output else output.text).rstrip())
        if printed:
            parts.append(PRINTED.format("\n".join(printed)))
    hidden = nbformat.v4.new_markdown_cell("\n\n".join([*parts, "</details>"]))
    hidden.metadata = nbformat.from_dict({"tags": ["solution"]})
    return hidden


def fold(nb, path):
    """Each run of cells tagged "solution" becomes one hidden cell."""
    runs = groupby(nb.cells, lambda cell: tagged(cell, "solution"))
    nb.cells = [cell for solution, run in runs for cell in ([hide([*run], path)] if solution else run)]


def number(nb):
    """Ids from the cells' sources, code cells counted from 1, and no metadata of the kernel's."""
    seen, count = {}, 0
    for cell in nb.cells:
        digest = sha256(cell.source)[:10]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = count
    nb.metadata = nbformat.from_dict(METADATA | {"minibayes": nb.metadata.minibayes})
    nb.nbformat, nb.nbformat_minor = 4, 5


def picture(nb, path):
    """The PNG of the one cell tagged "picture"."""
    chosen = [cell for cell in nb.cells if tagged(cell, "picture")]
    images = [output.data["image/png"] for cell in chosen
              for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    if len(chosen) != 1 or not images:
        raise BuildError(f"{path.name} must have one cell tagged 'picture', with a figure; it has "
                         f"{len(chosen)} with {len(images)} figures")
    return b64decode(images[0])


def write(target, content):
    """Write bytes to `target`, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(target) as file:
        file.write(content)


def build(path, quick=False, out=None, on_cell=None):
    """Execute one notebook, and write it and its picture below `out` unless that is None.

    Returns (seconds, code cells run, bytes).
    """
    nb, start = read(path), time.perf_counter()
    execute(nb, path, quick, on_cell)
    seconds = time.perf_counter() - start
    run = sum(cell.cell_type == "code" and cell.execution_count is not None for cell in nb.cells)
    plain(nb, path)
    png = picture(nb, path)
    fold(nb, path)
    number(nb)
    content = (nbformat.writes(nb) + "\n").encode()
    if out is not None:
        write(out / f"{path.stem}.ipynb", content)
        write(out / "pictures" / f"{path.stem}.png", png)
    return seconds, run, len(content)


def stale(path, folder=FOLDER):
    """Why the notebook in `folder` is not that of its source, or None: by fingerprint and every cell."""
    target = folder / f"{path.stem}.ipynb"
    if not target.exists():
        return f"{target.name} is missing"
    nb, wanted = nbformat.read(target, as_version=4), read(path)
    if nb.metadata.get("minibayes") != wanted.metadata.minibayes:
        return f"{target.name} was built from another {path.name}"
    for cell in nb.cells:
        if tagged(cell, "solution") and cell.cell_type == "markdown":
            cell.source = re.sub(PRINTED.format(".*?") + "\n\n", "", cell.source, flags=re.DOTALL)
    fold(wanted, path)
    if [(c.cell_type, c.source) for c in nb.cells] != [(c.cell_type, c.source) for c in wanted.cells]:
        return f"{target.name} has other cells than {path.name}"
    return None


def build_all(paths, quick=False, out=None, jobs=2):
    """Build the notebooks, `jobs` at once, those in ALONE by themselves at the end.

    Returns ([stems built], [what went wrong]).
    """
    built, failed = [], []
    cells = {path: sum(cell.cell_type == "code" for cell in read(path).cells) for path in paths}
    with tqdm(total=sum(cells.values()), desc="notebooks", unit=" cells", disable=None, leave=False) as bar:
        def one(path):
            try:
                seconds, run, size = build(path, quick, out, on_cell=lambda **_: bar.update())
                if run != cells[path]:
                    raise BuildError(f"{path.name}: {run} code cells ran, it has {cells[path]}")
                built.append(path.stem)
                bar.write(f"{path.stem}: {run} code cells in {seconds:.1f} s, {size / 1000:.0f} kB",
                          file=sys.stderr)
            except BuildError as error:
                failed.append(str(error))

        together = [path for path in paths if path.stem not in ALONE]
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(one, together))
        for path in paths:
            if path not in together:
                one(path)
    return sorted(built), failed


def main(argv=None):
    parser = argparse.ArgumentParser(description="Execute the notebooks and write them with their outputs.")
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help="a number or a name (default: all notebooks)")
    parser.add_argument("--quick", action="store_true",
                        help="run the quick mode, to see that all runs; writes only with --out")
    parser.add_argument("--check", action="store_true",
                        help="run nothing, say which notebooks are stale against their sources")
    parser.add_argument("--out", type=Path,
                        help="folder for the notebooks and pictures (default: beside the sources)")
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=2, help="notebooks at once (default 2)")
    args = parser.parse_args(argv)
    try:
        paths = sources(args.names)
        if args.check:
            built = [path.stem for path in paths]
            failed = [why for path in paths if (why := stale(path, args.out or FOLDER))]
        else:
            built, failed = build_all(paths, args.quick, args.out or (None if args.quick else FOLDER),
                                      args.jobs)
    except BuildError as error:
        built, failed = [], [str(error)]
    for why in failed:
        print(f"error: {why}", file=sys.stderr)
    print(f"{len(built) - (len(failed) if args.check else 0)} notebooks "
          f"{'are up to date' if args.check else 'ran'}, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
