"""Tests of one ``xdist_group`` run on one worker, in the order of the collection: what they share is made once.

xdist's own ``--dist loadgroup`` writes the group into ids, which pytest 9.2 no longer lets it. Here each worker says
in a file which groups its tests have.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

KEY = "shared_runs"


class SharedRuns(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out groups of tests, and each test without a group by itself."""

    def __init__(self, config: pytest.Config, log: Any, file: Path) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # what takes long is first already
        self._file = file

    @cached_property
    def _groups(self) -> Mapping[str, str]:
        groups: Mapping[str, str] = json.loads(self._file.read_text(encoding="utf-8"))
        return groups

    def _split_scope(self, nodeid: str) -> str:
        return self._groups.get(nodeid, nodeid)


class Scheduling:
    """The plugin: where groups are written to, by workers, and read from, by the scheduler."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="normcheck-tests-")
        self._file = Path(self._folder.name, "groups.json")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[KEY] = str(self._file)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> SharedRuns:
        return SharedRuns(config, log, self._file)

    def pytest_unconfigure(self) -> None:
        self._folder.cleanup()


def rank(item: pytest.Item) -> tuple[bool, bool]:
    """What takes long comes first, so that no worker is left alone with it: shared runs, and unit tests last."""
    return "unit" in item.path.parts, item.get_closest_marker("xdist_group") is None


def write_groups(items: list[pytest.Item], file: str) -> None:
    """Say which tests have a group; all workers write the same, each at once."""
    groups = {
        item.nodeid: marker.args[0] for item in items if (marker := item.get_closest_marker("xdist_group"))
    }
    draft = f"{file}.{os.getpid()}"
    Path(draft).write_text(json.dumps(groups), encoding="utf-8")
    os.replace(draft, file)
