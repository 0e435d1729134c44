"""The matrix of backends: the page says what the adapters say, and they do what they say."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from support import CHECKOUT

import normcheck
from normcheck.backends import BUILTIN, missing
from normcheck.case import Output
from normcheck.reports.listing import matrix_row, why_not
from normcheck.run.probe import BackendStatus, probe_backends
from normcheck.verdict import Verdict


@pytest.fixture(scope="module")
def found() -> dict[str, BackendStatus]:
    return {backend.name: backend for backend in probe_backends()}


def test_every_backend_is_usable_or_says_why_not(found: dict[str, BackendStatus]) -> None:
    assert set(BUILTIN) <= set(found)
    for name, backend in found.items():
        assert bool(backend.environment) is (backend.reason is None), name
        assert (missing(name) is None) or not backend.environment, name


def test_the_page_has_the_same_rows(found: dict[str, BackendStatus]) -> None:
    text = (CHECKOUT / "docs" / "backends.md").read_text(encoding="utf-8")
    rows = {
        row[0].strip("`"): row for row in (re.findall(r"[^|]+", line) for line in text.splitlines()) if row
    }
    rows = {name.strip().strip("`"): [cell.strip() for cell in row] for name, row in rows.items()}
    for name, backend in found.items():
        if backend.environment and name in BUILTIN:
            _, version, *cells = matrix_row(backend)
            written = rows[name]
            assert [*cells, why_not(backend)] == [*written[2:], *([""] * (9 - len(written)))], (name, version)


@pytest.mark.parametrize("name", ["numpy", "equinox", "onnxruntime", "mlx", "keras"])
def test_what_the_matrix_says_is_what_a_run_gives(
    name: str, found: dict[str, BackendStatus], requires: Callable[[str], None]
) -> None:
    requires(name)
    report = normcheck.compare(backends=[name], fixtures=["nchw", "tracked"])
    for method, offers in found[name].offers.items():
        own = [r for r in report.results if r.case.method == method]
        plain = [r for r in own if not r.case.params.track_running_stats]
        assert ({Verdict.UNSUPPORTED} == {r.verdict for r in plain}) is ("float32" not in offers["dtypes"])
        if offers["dtypes"]:
            outputs = {r.output for r in plain if r.verdict.compared}
            assert offers["gradients"] is (Output.GRAD_X in outputs)
            if method == "batch":
                assert offers["state"] is (Output.RUNNING_VAR in outputs)
        if method == "instance":
            tracked = {r.verdict for r in own if r.case.params.track_running_stats}
            assert offers["state"] is (Verdict.UNSUPPORTED not in tracked)
