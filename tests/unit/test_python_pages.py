"""What docs/python.md and docs/pytest.md show runs as it stands there."""

from __future__ import annotations

import inspect
import re
from types import SimpleNamespace
from typing import Any

import pytest
from support import CHECKOUT

import normcheck
from normcheck.testing import assert_parity, cases
from normcheck.testing.parity import selected

BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: str) -> list[str]:
    """The Python in a page, block by block."""
    found = BLOCK.findall((CHECKOUT / page).read_text(encoding="utf-8"))
    assert found, page
    return found


def test_the_page_on_python_runs_from_top_to_bottom(capsys: pytest.CaptureFixture[str]) -> None:
    known: dict[str, Any] = {"__name__": "page"}
    for block in blocks("docs/python.md"):
        exec(compile(block, "docs/python.md", "exec"), known)  # noqa: S102 (our own page)
        if "comparison" in known:
            assert normcheck.Verdict.PASS is known["comparison"].verdict
    assert "✓ pass" in capsys.readouterr().out


def test_the_calls_on_the_page_on_pytest_are_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what they name in place of what a project has; tests are defined and called, candidates are not."""
    called: list[str] = []

    def checked(value: Any, *arguments: Any, **keywords: Any) -> None:
        bound = inspect.signature(assert_parity).bind(value, *arguments, **keywords)
        parameters = bound.arguments.get("parameters", {})
        named = ("fixtures", "dtypes", "modes", "convention", "gradients")
        given = {name: bound.arguments[name] for name in named if name in bound.arguments}
        given["fixtures"] = [each for each in given.get("fixtures", ["core"]) if each != "activations"] or [
            "core"
        ]
        selected(bound.arguments["method"], **given, **parameters)
        called.append(str(value))

    monkeypatch.setattr(
        "normcheck.testing.parity.ParityCase.assert_parity", lambda case, value: called.append(value)
    )
    mark = SimpleNamespace(normcheck=lambda **said: lambda test: test)  # the plugin may be left out here
    known: dict[str, Any] = {"pytest": SimpleNamespace(mark=mark), "normcheck": normcheck, "x": "x"}
    known |= {name: name for name in ("group_norm", "batch_norm", "rms_norm", "layer_norm", "my_kernel")}
    known["torch"] = SimpleNamespace(nn=SimpleNamespace(LayerNorm=lambda *shape, **more: "LayerNorm"))
    for block in blocks("docs/pytest.md"):
        exec(compile(block, "docs/pytest.md", "exec"), known)  # noqa: S102 (our own page)
        known["assert_parity"] = checked  # once it has been imported
        for name in [name for name in known if name.startswith("test_")]:
            test = known.pop(name)
            marks = {mark.name: mark for mark in getattr(test, "pytestmark", ())}
            if "parametrize" in marks:
                for param in marks["parametrize"].args[1]:
                    test(param.values[0])
            else:
                test()
    assert {"group_norm", "LayerNorm", "batch_norm", "rms_norm", "layer_norm", "my_kernel"} == set(called)


def test_the_readme_has_the_three_lines_of_the_page() -> None:
    assert blocks("docs/pytest.md")[0] in blocks("README.md")
    assert cases.__name__ in "".join(blocks("docs/pytest.md"))
