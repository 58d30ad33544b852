"""The rooms: imports point one way, Numba and matplotlib stay in theirs, library code never prints, no global random state."""

import ast
import importlib
from pathlib import Path

import pytest

import minibayes
from minibayes import nn, registry

ROOT = Path(minibayes.__file__).parent
FILES = sorted(p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*.py"))

# Which rooms a room may look at. A file belongs to the longest prefix that fits.
# What every room may look at.
GROUND = {"require.py": set(), "own.py": set(), "floats.py": set(), "cautions.py": set(), "tables.py": set()}
LOOKS_AT = GROUND | {
    "files.py": set(),
    "registry.py": {"require.py"},
    "kernels": set(),
    "nn": {"kernels", "require.py", "registry.py"},
    "bayes": {"nn", "kernels", "require.py", "registry.py"},
    "fast": {"nn", "kernels", "require.py"},
    "truth": {"nn", "bayes", "require.py"},
    "progress.py": set(),
    "processes.py": set(),
    "spread.py": {"require.py", "files.py"},
    "checks": {"nn", "bayes", "truth", "records.py", "require.py"},
    "data.py": {"require.py"},
    "arrays.py": {"require.py"},
    "metrics.py": {"require.py", "arrays.py"},
    "conformal.py": {"require.py", "arrays.py"},
    "models.py": {"nn", "require.py"},
    "records.py": {"nn", "require.py", "registry.py"},
    "packing.py": {"kernels"},
    "storage.py": {"nn", "require.py", "records.py", "files.py", "packing.py"},
    "checkpoint.py": {"nn", "bayes", "require.py", "records.py", "storage.py"},
    "run.py": {"nn", "bayes", "fast", "require.py", "checkpoint.py"},
    "training.py": {"nn", "bayes", "fast", "require.py", "records.py", "checkpoint.py", "progress.py", "reports.py", "run.py"},
    "scale.py": {"require.py"},
    "reports.py": {"require.py"},
    "parameters.py": {"require.py"},
    "model.py": {"nn", "bayes", "fast", "require.py", "storage.py", "training.py", "progress.py", "scale.py", "reports.py",
                 "parameters.py"},
    "compress": {"nn", "bayes", "kernels", "packing.py", "parameters.py"},
    "active": {"nn", "require.py", "files.py", "checkpoint.py", "model.py"},
    "last_layer.py": {"nn", "bayes", "require.py", "model.py"},
    "ensemble.py": {"nn", "bayes", "require.py", "model.py", "spread.py", "storage.py"},
    "pieces.py": {"nn", "bayes", "fast", "require.py", "model.py", "spread.py", "progress.py"},
    "latent": {"nn", "bayes", "fast", "require.py", "model.py"},
    "temperature.py": {"bayes", "require.py", "model.py", "parameters.py"},
    "estimators": {"nn", "bayes", "require.py", "arrays.py", "conformal.py", "records.py", "storage.py", "model.py",
                   "ensemble.py", "last_layer.py"},
    "plots": {"require.py", "files.py", "metrics.py"},
    "claims": {"nn", "kernels", "bayes", "truth", "require.py", "metrics.py", "models.py", "model.py", "checks",
               "conformal.py", "latent"},
    "studies": {"claims", "truth", "nn", "bayes", "fast", "require.py", "files.py", "data.py", "metrics.py", "models.py", "model.py",
                "plots", "progress.py", "checks", "estimators", "latent", "compress", "active", "spread.py",
                "processes.py", "__init__.py"},
    "bench": {"studies", "nn", "bayes", "fast", "require.py", "checkpoint.py", "models.py", "model.py", "run.py",
              "progress.py"},
    "__main__.py": {"studies", "bench", "__init__.py"},
    "__init__.py": {"nn", "bayes", "truth", "require.py", "data.py", "metrics.py", "models.py", "model.py", "checks",
                    "training.py", "conformal.py", "temperature.py", "ensemble.py", "latent",
                    "last_layer.py", "active", "estimators", "pieces.py", "processes.py", "spread.py"},
}


def room(path):
    return max((r for r in LOOKS_AT if path == r or path.startswith(r + "/")), key=len)


def imported(path):
    """(dotted module names imported from outside, files of the package imported) by one file."""
    outside, inside = set(), set()
    here = [*Path(path).parts[:-1]]
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            outside |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            outside.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = [*here[:len(here) - node.level + 1], *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                for parts in ([*base, alias.name], base):
                    stem = "/".join(parts)
                    found = next((f for f in (f"{stem}.py", f"{stem}/__init__.py" if stem else "__init__.py") if f in FILES), None)
                    if found:
                        inside.add(found)
                        break
                else:
                    raise AssertionError(f"{path}: cannot resolve import of {alias.name}")
    return outside, inside


@pytest.mark.parametrize("path", FILES)
def test_imports_point_one_way(path):
    outside, inside = imported(path)
    mine = room(path)
    for target in inside:
        assert room(target) == mine or room(target) in LOOKS_AT[mine] | set(GROUND), f"{path} looks at {target}"
    assert ("numba" in outside) <= (mine == "kernels")
    assert ("matplotlib" in outside) <= (mine == "plots")
    # PyTorch is measured against; Numba's own cache files, of this machine's user, are pickles; scikit-learn asks for its own tags.
    foreign = {"bench/peer.py": {"torch"}, "kernels/compiling.py": {"pickle"}, "estimators/protocol.py": {"sklearn"},
               "studies/peers.py": {"sklearn"}}.get(path, set())
    assert not (outside & {"torch", "jax", "tensorflow", "scipy", "pickle", "sklearn", "pandas"}) - foreign


def test_the_rooms_are_a_hierarchy():
    """No two rooms look at each other, directly or around a corner ('__init__.py' only collects names)."""
    graph = {r: t - {"__init__.py"} for r, t in LOOKS_AT.items() if r != "__init__.py"}
    placed = []
    while graph:
        free = [r for r, targets in graph.items() if targets <= set(placed)]
        assert free, f"a circle among {sorted(graph)}"
        placed += free
        graph = {r: t for r, t in graph.items() if r not in free}


def asked_types(tree):
    """(line, name) of every type that code asks for: isinstance(x, T), issubclass(c, T), type(x) is T, case T(...)."""
    def names(node):
        return {n.attr if isinstance(n, ast.Attribute) else n.id for n in ast.walk(node) if isinstance(n, (ast.Attribute, ast.Name))}

    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "issubclass"):
            yield from ((node.lineno, name) for name in names(node.args[1]))
        if isinstance(node, ast.Compare) and any(
                isinstance(side, ast.Call) and isinstance(side.func, ast.Name) and side.func.id == "type"
                for side in (node.left, *node.comparators)):
            yield from ((node.lineno, name) for side in (node.left, *node.comparators) for name in names(side))
        if isinstance(node, ast.MatchClass):
            yield from ((node.lineno, name) for name in names(node.cls))


def test_a_type_is_asked_for_in_its_own_file_only():
    """Of layers, noises, places, priors, likelihoods and optimizers; `fast` may ask: it knows some of them by heart."""
    for path in FILES:
        if path not in ("__main__.py", "bench/peer.py"):
            importlib.import_module(".".join(["minibayes", *Path(path).with_suffix("").parts]).removesuffix(".__init__"))
    kinds, home = [registry.Registered, nn.Optimizer], {}
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if kind.__module__.startswith("minibayes."):
            home[kind.__name__] = kind.__module__.replace(".", "/").removeprefix("minibayes/") + ".py"
    assert {"Dense", "Bernoulli", "Inputs", "Normal", "Categorical", "Adam", "Layer"} <= set(home)
    asked = [f"{path}:{line} asks for {name}" for path in FILES if not path.startswith("fast/")
             for line, name in asked_types(ast.parse((ROOT / path).read_text())) if name in home and home[name] != path]
    assert not asked, "\n".join(asked)


CHECKS = ("integer", "real", "boolean", "choice", "path")


@pytest.mark.parametrize("path", FILES)
def test_what_a_check_returns_is_what_is_kept(path):
    """A number of another type passes a check, but may overflow or round where it is used raw."""
    raw = [node.lineno for node in ast.walk(ast.parse((ROOT / path).read_text()))
           if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
           and isinstance(node.value.func, ast.Attribute) and node.value.func.attr in CHECKS
           and getattr(node.value.func.value, "id", "") == "require"]
    assert not raw, f"{path}: lines {raw} check a setting and keep it as it was given"


def test_type_questions_are_found():
    code = """
isinstance(x, nn.Dense)
isinstance(x, (A, bayes.Prior))
type(x) is Bernoulli
Gaussian is not type(x)
match x:
    case nn.ReLU(): pass
isinstance(x, int)
"""
    assert {name for _, name in asked_types(ast.parse(code))} >= {"Dense", "Prior", "Bernoulli", "Gaussian", "ReLU"}


WIDTHS = {"kernels": 140}  # columns of a line; 110 elsewhere


@pytest.mark.parametrize("path", FILES)
def test_lines_fit(path):
    width = WIDTHS.get(room(path), 110)
    long = [i for i, line in enumerate((ROOT / path).read_text().splitlines(), start=1) if len(line) > width]
    assert not long, f"{path}: lines {long} are longer than {width}"


@pytest.mark.parametrize("path", FILES)
def test_house_rules(path):
    source = (ROOT / path).read_text()
    tree = ast.parse(source)
    assert ast.get_docstring(tree), "the first line of every file says what it is"
    assert len(source.splitlines()) <= 260, "a file fits in about 250 lines"
    talks = path.startswith(("studies/", "bench/")) or path == "__main__.py"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print" or talks, "library code never prints"
            assert node.func.id not in ("eval", "exec")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "random":
            assert node.attr in ("default_rng", "Generator", "RandomState"), "no global random state"
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert not {a.arg for a in node.args.args} & {"p_drop", "rate_drop", "train", "training"}, "keep, never p; no train flag"
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "njit":
                    keywords = {k.arg for k in decorator.keywords}
                    assert {"nogil", "cache"} <= keywords and not keywords & {"parallel"}
                    assert ast.get_docstring(node) or node.name.startswith("_")
