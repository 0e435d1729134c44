"""What tests of every kind share: the command, the backends that they require, the schema of reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import scheduling
from hypothesis import HealthCheck, settings
from in_process import without_processes
from support import (
    REQUIRE_BACKENDS,
    Completed,
    require_backend,
    required_backends,
    run_normcheck,
    strict_json,
)

from normcheck import backends, cli

# how long an example takes says how busy the machine is
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """A name that is no backend's would require nothing, silently."""
    config.pluginmanager.register(scheduling.Scheduling())
    if unknown := set(required_backends()) - set(backends.BUILTIN):
        raise pytest.UsageError(f"{REQUIRE_BACKENDS}: unknown backend {', '.join(sorted(unknown))}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the order in which they are to start; a worker says which of them share a run."""
    items.sort(key=scheduling.rank)
    if (file := getattr(config, "workerinput", {}).get(scheduling.KEY)) is not None:
        scheduling.write_groups(items, file)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Completed]:
    """The command, run in the test's own directory (``cwd`` and environment variables can be given)."""

    def run(*arguments: object, cwd: Path = tmp_path, **environment: str) -> Completed:
        return run_normcheck(*arguments, cwd=cwd, **environment)

    return run


@pytest.fixture
def invoke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Completed]:
    """The command in this process, and its workers too: ``run`` without the cost of processes."""
    without_processes(monkeypatch)

    def invoke(*arguments: object, cwd: Path = tmp_path) -> Completed:
        monkeypatch.chdir(cwd)
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Completed(arguments, ended.value.code, out, err)

    return invoke


@pytest.fixture(scope="session")
def requires() -> Callable[[str], None]:
    """``requires("torch")``: a backend without which the test makes no sense."""
    return require_backend


@pytest.fixture(scope="session")
def schema() -> jsonschema.Draft202012Validator:
    """The schema of JSON reports, as it ships with the package."""
    text = files("normcheck.reports").joinpath("schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))


@pytest.fixture(scope="session")
def parsed(schema: jsonschema.Draft202012Validator) -> Callable[[str], dict[str, Any]]:
    """Parse a JSON report that must be strict JSON and valid against the schema."""

    def parsed(text: str) -> dict[str, Any]:
        report: dict[str, Any] = strict_json(text)
        schema.validate(report)
        return report

    return parsed
