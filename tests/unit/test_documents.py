"""The documents' printed numbers: one changed digit fails, wherever it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Completed

from normcheck import fixtures

Run = Callable[..., Completed]


def changed_digit(value: str, position: int) -> str:
    """``value`` with its last digit (position -1), the one before it (-2) and so on turned by five."""
    digits = [i for i, character in enumerate(value) if character.isdigit()]
    at = digits[position]
    return value[:at] + str((int(value[at]) + 5) % 10) + value[at + 1 :]


def tampered(
    folder: Path, method: str, dtype: str, index: tuple[int, ...], change: Callable[[str], str]
) -> Path:
    """A copy of the documents with one of its printed values changed."""
    data = json.loads((fixtures.directory() / "documents.json").read_text())
    (entry,) = [e for e in data["expected"] if (e["method"], e["dtype"]) == (method, dtype)]
    row = entry["y"]
    for i in index[:-1]:
        row = row[i]
    before = row[index[-1]]
    row[index[-1]] = change(before)
    assert row[index[-1]] != before
    (folder / "documents.json").write_text(json.dumps(data))
    return folder / "documents.json"


PLACES = [(0, 0, 0, 0), (0, 1, 1, 0), (1, 2, 1, 1)]


@pytest.mark.parametrize(
    "position", [-1, -2, -4, 0], ids=["the last digit", "the last but one", "a middle one", "the first"]
)
@pytest.mark.parametrize(
    ("method", "dtype", "index"),
    [
        ("batch", "float64", PLACES[0]),
        ("layer", "float64", PLACES[2]),
        ("batch", "float32", PLACES[1]),
        ("layer", "float32", PLACES[2]),
    ],
)
def test_one_changed_digit_of_the_document_fails(
    invoke: Run,
    parsed: Any,
    tmp_path: Path,
    method: str,
    dtype: str,
    index: tuple[int, ...],
    position: int,
) -> None:
    path = tampered(tmp_path, method, dtype, index, lambda value: changed_digit(value, position))
    done = invoke(
        "compare",
        "--fixture",
        path,
        "--backend",
        "numpy",
        "--dtype",
        dtype,
        "--no-gradients",
        "--format",
        "json",
    )
    assert 1 == done.returncode
    wrong = [row for row in parsed(done.stdout)["results"] if row["verdict"] != "pass"]
    assert [("expected", "fail", method, list(index))] == [
        (row["backend"], row["verdict"], row["method"], row["worst"]["index"]) for row in wrong
    ]


@pytest.mark.parametrize("method", ["batch", "layer"])
@pytest.mark.parametrize("step", [1, -1], ids=["one up", "one down"])
def test_the_last_of_eight_digits_off_by_one_fails(
    invoke: Run, tmp_path: Path, method: str, step: int
) -> None:
    def change(value: str) -> str:
        return f"{float(value) + step * 1e-8:.8f}"

    path = tampered(tmp_path, method, "float64", PLACES[0], change)
    done = invoke("compare", "--fixture", path, "--backend", "numpy", "--dtype", "float64", "--no-gradients")
    assert 1 == done.returncode
    assert "more than half a unit of the last printed decimal" in done.stdout


def test_an_unchanged_copy_of_the_document_passes(invoke: Run, tmp_path: Path, parsed: Any) -> None:
    (tmp_path / "documents.json").write_bytes((fixtures.directory() / "documents.json").read_bytes())
    dtypes = ["--dtype", "float32", "--dtype", "float64"]
    done = invoke(
        "compare", "--fixture", "./documents.json", "--backend", "numpy", *dtypes, "--format", "json"
    )
    assert 0 == done.returncode
    stated = [row for row in parsed(done.stdout)["results"] if row["backend"] == "expected"]
    assert ["pass"] * 4 == [row["verdict"] for row in stated]
