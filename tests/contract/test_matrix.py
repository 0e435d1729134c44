"""The matrix of backends: the page says what the adapters say, and they do what they say."""

from __future__ import annotations

import re

import pytest
from support import CHECKOUT

from normcheck.backends import BUILTIN, missing
from normcheck.reports.listing import matrix_row, why_not
from normcheck.run.probe import BackendStatus, probe_backends

pytestmark = pytest.mark.xdist_group("matrix")  # a run is shared


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
