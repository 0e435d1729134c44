"""What normcheck is timed against does the same work."""

from __future__ import annotations

import ast
from typing import Any

from support import CHECKOUT

from normcheck.case import Method
from normcheck.plan import Selection, plan


def test_the_script_by_hand_has_the_cases_of_the_core() -> None:
    """Read without the frameworks that it imports."""
    tree = ast.parse((CHECKOUT / "benchmarks" / "handwritten.py").read_text(encoding="utf-8"))
    names = ("RGB", "INPUTS")
    data = [n for n in tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") in names]
    found: dict[str, Any] = {}
    exec(compile(ast.Module(data, []), "handwritten.py", "exec"), found)  # noqa: S102 (our own)
    by_hand = {
        (name, shape, axis % len(shape), groups)
        for name, (shape, axis, _, tried) in found["INPUTS"].items()
        for groups in tried
    }
    cases = [each.case for each in plan(Selection(methods=[Method.GROUP])).cases]
    assert by_hand == {
        (c.fixture, c.shape, c.params.channel_axis % len(c.shape), c.params.groups or c.params.num_groups)
        for c in cases
    }
