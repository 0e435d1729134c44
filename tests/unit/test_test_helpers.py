"""The helpers of the tests can fail: a backend that is required and missing is never skipped."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import support

from normcheck import backends


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        backends, "missing", lambda name: "torch is not installed" if name == "torch" else None
    )


@pytest.mark.usefixtures("without_torch")
def test_a_missing_backend_skips(monkeypatch: pytest.MonkeyPatch, requires: Callable[[str], None]) -> None:
    monkeypatch.setenv(support.REQUIRE_BACKENDS, "numpy, jax")
    with pytest.raises(pytest.skip.Exception, match="torch is not installed"):
        requires("torch")


@pytest.mark.usefixtures("without_torch")
def test_a_missing_backend_that_is_required_fails(
    monkeypatch: pytest.MonkeyPatch, requires: Callable[[str], None]
) -> None:
    monkeypatch.setenv(support.REQUIRE_BACKENDS, "numpy, torch")
    with pytest.raises(pytest.fail.Exception, match="lists torch, but torch is not installed"):
        requires("torch")


@pytest.mark.usefixtures("without_torch")
def test_a_backend_that_is_there_does_neither(requires: Callable[[str], None]) -> None:
    requires("numpy")


def test_requiring_a_backend_that_does_not_exist_is_an_error(
    monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.setenv(support.REQUIRE_BACKENDS, "numpy,pytorch")
    plugin = pytestconfig.pluginmanager.get_plugin(str(support.CHECKOUT / "tests" / "conftest.py"))
    assert plugin is not None
    with pytest.raises(pytest.UsageError, match="unknown backend pytorch"):
        plugin.pytest_configure(pytestconfig)


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": Infinity}', '{"a": -Infinity}', "{", ""])
def test_json_that_is_not_strict_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not strict|Expect"):
        support.strict_json(text)


def test_a_repeated_key_is_refused() -> None:
    with pytest.raises(AssertionError, match="repeated"):
        support.strict_json('{"a": 1, "a": 2}')
