"""The hook that makes the website of the documentation: what links become, and what is generated."""

from __future__ import annotations

import importlib.util
import json
from types import ModuleType

import pytest
from support import CHECKOUT

from normcheck.cli import COMMANDS


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_pages", CHECKOUT / "docs/site_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_file_of_the_repository_has_an_address(hook: ModuleType) -> None:
    assert [
        hook.address(path) for path in ("README.md", "docs/laws.md", "ARCHITECTURE.md", "normcheck.toml")
    ] == [
        "index.md",
        "laws.md",
        "project/ARCHITECTURE.md",
        "project/normcheck.toml.md",
    ]


def test_links_are_those_to_files_that_exist(hook: ModuleType) -> None:
    """What does not exist stays as it is, for mkdocs to complain about."""
    text = "[a](../README.md) [b](findings) [c](gone.md) [d](laws.md#laws) [e](https://example.org/laws.md) [f](#laws)"
    assert list(hook.linked(text, "docs/usage.md")) == [
        ("../README.md", "README.md"),
        ("findings", "docs/findings/README.md"),
        ("laws.md", "docs/laws.md"),
    ]


def test_a_folder_has_a_page_of_its_files(hook: ModuleType) -> None:
    page = hook.content("docs/decisions")
    for file in (CHECKOUT / "docs/decisions").glob("*.md"):
        assert f"](decisions/{file.name})" in page


def test_code_is_shown_as_it_is(hook: ModuleType) -> None:
    assert (CHECKOUT / "normcheck.toml").read_text(encoding="utf-8") in hook.content("normcheck.toml")


def test_every_command_and_key_is_in_the_reference(hook: ModuleType) -> None:
    commands, keys = hook.commands(), hook.schema()
    assert all(f"## {name}\n" in commands for name in COMMANDS)
    described = json.loads((CHECKOUT / hook.SCHEMA).read_text(encoding="utf-8"))
    parts = [described, *described["$defs"].values()]
    assert all(f"| `{key}` |" in keys for part in parts for key in part.get("properties", ()))
    for mark in hook.GENERATED:
        assert any(
            mark in page.read_text(encoding="utf-8") for page in (CHECKOUT / "docs/reference").glob("*.md")
        )
