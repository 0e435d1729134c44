"""The house as DESIGN §2 has it: arrows point downward, frameworks stay in their adapters, workers stay portable."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import normcheck
from normcheck.backends import BUILTIN

PACKAGE = Path(normcheck.__file__).parent
SOURCES = {
    ".".join(["normcheck", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# A module may import what is on its own level or below; the longest prefix decides.
LEVELS = {
    "normcheck.model": 0,
    "normcheck.errors": 1,
    "normcheck.ledger": 2,
    "normcheck.backends": 1,
    "normcheck.dtypes": 2,
    "normcheck.methods": 2,
    "normcheck.partition": 3,
    "normcheck.fixtures": 4,
    "normcheck.oracle": 4,
    "normcheck.distances": 4,
    "normcheck.comparison": 4,
    "normcheck.worker": 4,
    "normcheck.recording": 5,
    "normcheck.plan": 5,
    "normcheck.judging": 5,
    "normcheck.laws": 5,
    "normcheck.docket": 5,
    "normcheck.explanation": 6,
    "normcheck.engine": 6,
    "normcheck.reports": 7,
    "normcheck.api": 7,
    "normcheck.cli": 8,
    "normcheck.__main__": 9,
    "normcheck": 0,
}
FRAMEWORKS = {entry.requires for entry in BUILTIN.values()} - {"numpy"}
SHARED = {  # what several adapters build upon, and with what
    "normcheck.backends._onnx_models": {"onnx", "ml_dtypes"},
    "normcheck.backends._flax": {"flax", "jax"},
}
ADAPTERS = {entry.adapter.partition(":")[0] for entry in BUILTIN.values()}
CHILD_SIDE = [
    name
    for name in SOURCES
    if name
    in {"normcheck", "normcheck.worker", *(f"normcheck.worker.{m}" for m in ("__main__", "frames", "target"))}
    or name.startswith("normcheck.backends")
]
REPORTS_MAY_USE = (
    "normcheck.model",
    "normcheck.errors",
    "normcheck.methods",
    "normcheck.explanation",
    "normcheck.reports",
)
RICH = ("normcheck.reports.", "normcheck.cli.")
NO_RICH = (
    "normcheck.reports.json",
    "normcheck.reports.text",
    "normcheck.reports.command",
    "normcheck.reports.torch_call",
)


def level(name: str) -> int:
    prefix = max((p for p in LEVELS if name == p or name.startswith(f"{p}.")), key=len)
    return LEVELS[prefix]


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


def imported_by(name: str, *, top_only: bool = False) -> set[str]:
    return imports(SOURCES[name].read_text(), name, top_only=top_only)


def root(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("name", SOURCES)
def test_arrows_point_downward(name: str) -> None:
    ours = {other for other in imported_by(name) if root(other) == "normcheck" and other != "normcheck"}
    assert set() == {other for other in ours if level(other) > level(name)}


def frameworks_of(name: str) -> set[str]:
    """What an adapter may import: its own framework, and those of the adapters that it builds upon."""
    own = {entry.requires for entry in BUILTIN.values() if entry.adapter.partition(":")[0] == name}
    if name in SHARED:
        return SHARED[name]
    return own.union(*(frameworks_of(other) for other in imported_by(name) & {*ADAPTERS, *SHARED} if own))


@pytest.mark.parametrize("name", SOURCES)
def test_a_framework_is_imported_by_its_own_adapter_alone(name: str) -> None:
    assert set() == {root(other) for other in imported_by(name)} & (FRAMEWORKS - frameworks_of(name))


@pytest.mark.parametrize("name", SOURCES)
def test_an_adapter_is_imported_by_name_by_others_alone(name: str) -> None:
    """The registry has strings; the worker imports one of them when it is told which."""
    if not name.startswith("normcheck.backends."):
        assert set() == imported_by(name) & ADAPTERS


@pytest.mark.parametrize("name", [name for name in SOURCES if not name.startswith("normcheck.backends")])
def test_what_backends_share_is_for_workers(name: str) -> None:
    if name not in {"normcheck.worker.__main__", "normcheck.worker.target"}:
        assert "normcheck.backends._base" not in imported_by(name)


@pytest.mark.parametrize("name", [name for name in SOURCES if name.startswith("normcheck.reports")])
def test_reports_see_the_report_and_no_more(name: str) -> None:
    ours = {other for other in imported_by(name) if root(other) == "normcheck"}
    assert set() == {other for other in ours if not other.startswith(REPORTS_MAY_USE)}


@pytest.mark.parametrize("name", SOURCES)
def test_rich_is_for_the_terminal(name: str) -> None:
    if not name.startswith(RICH) or name in NO_RICH:
        assert "rich" not in {root(other) for other in imported_by(name)}


def test_the_model_needs_the_standard_library_alone() -> None:
    for name in (
        "normcheck.model",
        "normcheck.errors",
        "normcheck.methods",
        "normcheck.plan",
        "normcheck.worker.process",
    ):
        foreign = {root(other) for other in imported_by(name, top_only=True)} - {"normcheck"}
        assert set() == foreign - sys.stdlib_module_names, name


@pytest.mark.parametrize("name", CHILD_SIDE)
def test_a_worker_needs_the_standard_library_numpy_and_its_framework(name: str) -> None:
    foreign = {root(other) for other in imported_by(name, top_only=True)} - sys.stdlib_module_names
    assert set() == foreign - {"normcheck", "numpy"} - frameworks_of(name)


@pytest.mark.parametrize("name", CHILD_SIDE)
def test_a_worker_imports_child_side_modules_alone(name: str) -> None:
    ours = {other for other in imported_by(name) if root(other) == "normcheck"}
    assert set() == ours - set(CHILD_SIDE)


@pytest.mark.parametrize("name", CHILD_SIDE)
def test_a_worker_runs_under_python_3_9(name: str) -> None:
    source = SOURCES[name].read_text()
    tree = ast.parse(source, feature_version=(3, 9))
    if tree.body[1:]:
        assert "from __future__ import annotations" in source
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            assert "strict" not in {word.arg for word in node.keywords}, (
                f"zip(strict=) is of 3.10: line {node.lineno}"
            )
            assert not {"slots", "kw_only"} & {word.arg for word in node.keywords}, (
                f"of 3.10: line {node.lineno}"
            )
    assert not {"tomllib", "enum.StrEnum"} & imported_by(name)


def test_every_module_has_a_level_of_its_own() -> None:
    prefixes = tuple(f"{prefix}." for prefix in LEVELS if prefix != "normcheck")
    assert [name for name in SOURCES if name != "normcheck" and not f"{name}.".startswith(prefixes)] == []


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
