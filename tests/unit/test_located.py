"""Where the user's code is, without running any of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Completed

from normcheck.report import Place
from normcheck.run.backends import BackendSpec
from normcheck.run.inprocess import spec_of
from normcheck.run.located import LARGEST, line_of, places

SOURCE = """\
import functools
from m import other as imported

def norm(x): ...  # replaced below

if True:
    @functools.cache
    def norm(x):
        def inner(x): ...

class Norm:
    eps = 1

    def forward(self, x): ...

layer = Norm()
try:
    fallback = norm
except ImportError:
    def fallback(x): ...
pair, (nested, *rest) = 1, (2, 3)
raise SystemExit("this is never run")
"""


@pytest.mark.parametrize(
    ("attribute", "line"),
    [
        ("norm", 8),
        ("imported", 2),
        ("Norm", 11),
        ("Norm.forward", 14),
        ("Norm.missing", 11),
        ("layer", 16),
        ("layer.forward", 16),
        ("fallback", 20),
        ("nested", 21),
        ("rest", 21),
        ("inner", None),
        ("other", None),
    ],
)
def test_the_line_is_that_of_the_last_definition(attribute: str, line: int | None, tmp_path: Path) -> None:
    (file := tmp_path / "norm.py").write_text(SOURCE)
    assert line == line_of(str(file), attribute)


@pytest.mark.parametrize(
    "source", [b"def norm(:", b"\x00", b"\xff", b"(" * 10**5, b"#" * (LARGEST + 1), b"-" * 10**5 + b"1"]
)
def test_a_file_that_cannot_be_read_has_no_line(source: bytes, tmp_path: Path) -> None:
    (file := tmp_path / "norm.py").write_bytes(source)
    assert line_of(str(file), "norm") is None
    assert line_of(str(tmp_path / "none.py"), "norm") is None


def test_a_target_is_found_by_file_and_by_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the current directory where it is below; a library's code is not the user's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("raise SystemExit('this is never run')")
    (tmp_path / "package" / "norms.py").write_text(SOURCE)
    specs = [
        BackendSpec.parse(text)
        for text in (
            "path=numpy:package/norms.py:norm",
            "absolute=numpy:" + str(tmp_path / "package" / "norms.py") + ":norm",
            "module=numpy:package.norms:Norm",
            "whole=numpy:package:norm",
            "none=numpy:package.none:norm",
            "library=numpy:numpy.linalg:norm",
            "numpy",
        )
    ]
    assert {
        "path": Place(file="package/norms.py", line=8),
        "absolute": Place(file="package/norms.py", line=8),
        "module": Place(file="package/norms.py", line=11),
        "whole": Place(file="package/__init__.py", line=None),
    } == places(specs)


def test_an_object_in_this_process_has_a_place() -> None:
    here = places([spec_of("mine", ("numpy", places)), spec_of("builtin", ("numpy", print))])
    assert ["mine"] == list(here)
    assert here["mine"].file.endswith("located.py")
    assert here["mine"].line == places.__code__.co_firstlineno
    (place,) = places([spec_of("mine", ("numpy", Layer()))]).values()
    assert place.line == line_of(__file__, "Layer")


class Layer:
    def __call__(self, x: Any) -> Any:
        return x


def test_a_report_says_where_the_code_is(
    invoke: Callable[..., Completed], tmp_path: Path, parsed: Any
) -> None:
    (tmp_path / "norm.py").write_text("\n\ndef norm(x, weight, bias, *, eps): return -x\n")
    chosen = ["--method", "layer", "--fixture", "nc", "--no-gradients", "--backend", "numpy"]
    done = invoke("compare", *chosen, "--backend", "mine=numpy:norm.py:norm", "--format", "json")
    assert {"mine": {"file": "norm.py", "line": 3}} == parsed(done.stdout)["sources"]
