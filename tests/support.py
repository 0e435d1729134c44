"""Helpers of the tests: the real command in a real process, required backends, strict JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from normcheck import backends

CHECKOUT = Path(__file__).parents[1]
REQUIRE_BACKENDS = "NORMCHECK_REQUIRE_BACKENDS"

Completed = subprocess.CompletedProcess[str]


def run_normcheck(*arguments: object, cwd: Path, **environment: str) -> Completed:
    """Run ``python -m normcheck`` in a process of its own, as a user would in ``cwd``."""
    return subprocess.run(
        [sys.executable, "-m", "normcheck", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def require_backend(name: str) -> None:
    """Skip the test where the backend ``name`` is missing, but fail if NORMCHECK_REQUIRE_BACKENDS lists it."""
    reason = backends.missing(name)
    if reason is None:
        return
    if name in required_backends():
        pytest.fail(f"{REQUIRE_BACKENDS} lists {name}, but {reason}")
    pytest.skip(reason)


def required_backends() -> list[str]:
    """The names in NORMCHECK_REQUIRE_BACKENDS, a comma-separated list; ``all`` is what CI runs."""
    return list(backends.chosen(os.environ.get(REQUIRE_BACKENDS, "")))


def in_one_place(run: str, values: Iterable[Any]) -> list[Any]:
    """Parameters; the tests of each share a run, which is made once on one worker."""
    return [pytest.param(value, marks=pytest.mark.xdist_group(f"{run} {value}")) for value in values]


def refused(done: Completed, code: int) -> str:
    """The one line that an error is."""
    assert (code, "") == (done.returncode, done.stdout), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("normcheck: ")
    assert "Traceback" not in line
    assert "\x1b" not in line
    return line


def strict_json(text: str) -> Any:
    """Parse JSON that has no NaN, Infinity or repeated key."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"not strict JSON: {constant}")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs), f"a key is repeated: {pairs}"
        return dict(pairs)

    return json.loads(text, parse_constant=refuse, object_pairs_hook=once)
