"""The rules of the house that import-linter cannot state; pyproject.toml has the layers (ARCHITECTURE.md)."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

import normcheck
from normcheck.backends import BUILTIN

PACKAGE = Path(normcheck.__file__).parent
SOURCES = {
    ".".join(["normcheck", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

FRAMEWORKS = {entry.requires for entry in BUILTIN.values()} - {"numpy"}
SHARED = {  # what several adapters build upon, and with what
    "normcheck.backends._onnx_models": {"onnx", "ml_dtypes"},
    "normcheck.backends._jax_cache": {"jax"},
    "normcheck.backends._jax_tools": {"jax"},
    "normcheck.backends._torch_modules": {"torch"},
    "normcheck.backends._flax": {"flax", "jax"},
}
ADAPTERS = {entry.adapter.partition(":")[0] for entry in BUILTIN.values()}
BELOW_THE_WALL = [  # runs in workers: Python 3.9, NumPy and a framework
    name
    for name in SOURCES
    if name == "normcheck" or name.startswith(("normcheck.worker", "normcheck.backends"))
]
RICH = ("normcheck.reports.", "normcheck.explain.", "normcheck.cli.")
NO_RICH = ("normcheck.reports.json", "normcheck.reports.text", "normcheck.reports.command")
EARLY = (  # imported before the workers have been started, so without NumPy
    *("case", "errors", "options", "plan", "report", "verdict"),
    *(name.removeprefix("normcheck.") for name in SOURCES if name.startswith("normcheck.methods.")),
    *("run.backends", "run.process", "run.session"),
)


def imports(source: str, module: str, *, top_only: bool = False) -> set[str]:
    """What a module imports when it runs: everything but what only type checkers see."""
    return set(_imports(ast.parse(source).body, module, top_only=top_only))


def _imports(nodes: Sequence[ast.AST], module: str, *, top_only: bool) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _imports(node.orelse, module, top_only=top_only)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in SOURCES else str(node.module)
        elif not (top_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            yield from _imports(list(ast.iter_child_nodes(node)), module, top_only=top_only)


@cache
def imported_by(name: str, *, top_only: bool = False) -> set[str]:
    return imports(SOURCES[name].read_text(), name, top_only=top_only)


def frameworks_of(name: str) -> set[str]:
    """What an adapter may import: its own framework, and those of the adapters that it builds upon."""
    own = {entry.requires for entry in BUILTIN.values() if entry.adapter.partition(":")[0] == name}
    if name in SHARED:
        return SHARED[name]
    return own.union(*(frameworks_of(other) for other in imported_by(name) & {*ADAPTERS, *SHARED} if own))


def offenders(modules: Iterable[str], rule: Callable[[str], set[str]]) -> dict[str, set[str]]:
    """The modules that break a rule, each with what ``rule`` finds in it."""
    return {name: found for name in modules if (found := rule(name))}


def roots(names: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_a_framework_is_imported_by_its_own_adapter_alone() -> None:
    found = offenders(SOURCES, lambda name: roots(imported_by(name)) & (FRAMEWORKS - frameworks_of(name)))
    assert {} == found


def test_an_adapter_is_imported_by_name_by_others_alone() -> None:
    """The registry has strings; the worker imports one of them when it is told which."""
    outside = [name for name in SOURCES if not name.startswith("normcheck.backends.")]
    assert {} == offenders(outside, lambda name: imported_by(name) & ADAPTERS)


def test_rich_is_for_the_terminal() -> None:
    plain = [name for name in SOURCES if not name.startswith(RICH) or name in NO_RICH]
    assert {} == offenders(plain, lambda name: roots(imported_by(name)) & {"rich"})


def test_a_worker_needs_the_standard_library_numpy_and_its_framework() -> None:
    known = {"normcheck", "numpy", *sys.stdlib_module_names}
    found = offenders(
        BELOW_THE_WALL, lambda name: roots(imported_by(name, top_only=True)) - known - frameworks_of(name)
    )
    assert {} == found


def test_a_worker_imports_child_side_modules_alone() -> None:
    above = set(SOURCES) - set(BELOW_THE_WALL)
    assert {} == offenders(BELOW_THE_WALL, lambda name: imported_by(name) & above)


def newer_than_python_3_9(source: str, module: str) -> set[str]:
    """What a module has that Python 3.9 does not; SyntaxError where that is its grammar."""
    tree = ast.parse(source, feature_version=(3, 9))
    found = {"tomllib", "enum.StrEnum"} & imports(source, module)
    if tree.body[1:] and "from __future__ import annotations" not in source:
        found.add("annotations that are evaluated")
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    keywords = {(word.arg, node.lineno) for node in calls for word in node.keywords}
    return found | {f"{arg}= in line {at}" for arg, at in keywords if arg in {"strict", "slots", "kw_only"}}


def test_a_worker_runs_under_python_3_9() -> None:
    found = offenders(BELOW_THE_WALL, lambda name: newer_than_python_3_9(SOURCES[name].read_text(), name))
    assert {} == found


def test_what_is_newer_than_python_3_9_is_seen() -> None:
    future = "from __future__ import annotations\n"
    assert set() == newer_than_python_3_9(f"{future}zip(a, b)\n", "m")
    assert {"strict= in line 2"} == newer_than_python_3_9(f"{future}zip(a, b, strict=True)\n", "m")
    assert {"slots= in line 2"} == newer_than_python_3_9(f"{future}dataclass(slots=True)\n", "m")
    assert {"tomllib"} == newer_than_python_3_9(f"{future}import tomllib\n", "m")
    assert {"annotations that are evaluated"} == newer_than_python_3_9("a = 1\nb = 2\n", "m")
    with pytest.raises(SyntaxError):
        newer_than_python_3_9(f"{future}match a:\n    case 1: pass\n", "m")


def test_nothing_heavy_is_imported_before_the_workers_are_started() -> None:
    known = {"normcheck", *sys.stdlib_module_names}
    early = [f"normcheck.{name}" for name in EARLY if name not in {"methods.partition", "methods.tiles"}]
    assert {} == offenders(early, lambda name: roots(imported_by(name, top_only=True)) - known)


def test_no_module_imports_the_package_as_a_whole() -> None:
    """It stands above them all: its names are those of the public API."""
    assert {} == offenders(SOURCES, lambda name: imported_by(name) & {"normcheck"})


def lint_imports(cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(cwd)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_arrows_point_down_and_make_no_circle() -> None:
    done = lint_imports(PACKAGE.parent)
    assert 0 == done.returncode, done.stdout


@pytest.mark.parametrize(
    ("module", "upward"),
    [("judge/array.py", "normcheck.run.session"), ("worker/frames.py", "normcheck.dtypes")],
)
def test_an_upward_arrow_is_seen_even_where_only_type_checkers_see_it(
    module: str, upward: str, tmp_path: Path
) -> None:
    shutil.copytree(PACKAGE, tmp_path / "normcheck", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PACKAGE.parent / "pyproject.toml", tmp_path)
    with open(tmp_path / "normcheck" / module, "a", encoding="utf-8") as file:
        file.write(f"\nif TYPE_CHECKING:\n    import {upward}\n")
    done = lint_imports(tmp_path)
    assert 1 == done.returncode
    assert upward in done.stdout


def test_the_rules_above_see_imports_wherever_they_are() -> None:
    source = """
import a.b
from c import d
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import hidden
class K:
    def f(self):
        import e
try:
    import g
except ImportError:
    from h.i import j
"""
    assert {"a.b", "c", "typing", "e", "g", "h.i"} == imports(source, "m")
    assert {"a.b", "c", "typing", "g", "h.i"} <= imports(source, "m", top_only=True)


def test_an_offender_is_named_with_what_it_breaks() -> None:
    found = {"a": {"torch"}, "b": set()}
    assert {"a": {"torch"}} == offenders(found, lambda name: found[name])
