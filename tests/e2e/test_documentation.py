"""What the documentation says is so: its code runs, its commands end as it says, its figures are the measured ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from markdown_it import MarkdownIt
from pages import OTHER_TOOLS, PAGES, Block, Reader, blocks
from support import CHECKOUT, Completed

import normcheck
from normcheck.backends import BUILTIN
from normcheck.cli import COMMANDS, group

KOREAN = CHECKOUT / "README.ko.md"
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
OF_OTHER_COMMANDS = {
    "--record",  # of tests/mutants/false_alarms.py, on docs/power.md
    *("--normcheck-report", "--normcheck-seed"),  # of pytest
}
PYTHON_IS_RUN_ELSEWHERE = {"docs/python.md", "docs/pytest.md"}  # in tests/unit/test_python_pages.py


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_can_be_done(
    page: str,
    tmp_path: Path,
    invoke: Callable[..., Completed],
    requires: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = list(blocks(PAGES[page]))
    text = "\n".join(block.text for block in found)
    for name in BUILTIN:
        if re.search(rf"(--backend '?(\w+=)?|import ){re.escape(name)}\b", text):
            requires(name)
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path, invoke)
    for block in found:
        if block.language != "python" or page not in PYTHON_IS_RUN_ELSEWHERE:
            reader.follow(block)
    assert not reader.unused, f"{page} shows files and does nothing with them"


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        (Block("page:1", "python", "", "1 / 0"), "division by zero"),
        (Block("page:1", "python", "", "f("), "never closed"),
        (Block("page:1", "", "", "normcheck compare --method layer # exit code 1"), "pass"),
        (Block("page:1", "", "", "normcheck compare --method lyaer"), "lyaer"),
        (
            Block("page:1", "console", "", "$ normcheck explain --method layer\nThis is not printed."),
            "not printed",
        ),
        (Block("page:1", "console", "", "layer norm of documents"), "output before a command"),
        (Block("page:1", "sh", "", "curl example.org"), "say why not"),
        (Block("page:1", "toml", "normcheck.toml", "[suits.ci]"), "suits"),
        (Block("page:1", "toml", "", "a = 1"), "of which file"),
        (Block("page:1", "json", "", "{'x': 1}"), "property name"),
        (Block("page:1", "yaml", "", "a: b: c"), "mapping values"),
        (Block("page:1", "yaml", "", "- run: normcheck compare --method lyaer"), "lyaer"),
        (Block("page:1", "text", "", "normcheck compare"), "is a command, not text"),
        (Block("page:1", "rust", "", "fn main() {}"), "nothing checks 'rust'"),
    ],
    ids=lambda value: value.text.split("\n")[-1] if isinstance(value, Block) else "",
)
def test_a_block_that_is_wrong_is_noticed(
    block: Block, complaint: str, tmp_path: Path, invoke: Callable[..., Completed]
) -> None:
    reader = Reader(tmp_path, invoke)
    with pytest.raises((Exception, AssertionError), match=re.escape(complaint)):
        reader.follow(block)


def test_what_is_not_run_is_still_there() -> None:
    """A command that left all pages leaves the list; what make is asked for, the Makefile has."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in PAGES.values())
    targets = re.findall(
        r"^([a-z-]+):.*## ", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    for command in OTHER_TOOLS:
        assert f"\n{command}" in text
        assert not command.startswith("make ") or command.split()[1] in targets


def options(command: click.Command) -> Iterator[str]:
    """The options of a command and of those below it."""
    context = click.Context(command)
    for parameter in command.get_params(context):
        yield from (*parameter.opts, *parameter.secondary_opts)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from options(below)


@pytest.mark.parametrize("page", PAGES)
def test_options_and_commands_in_sentences_exist(page: str) -> None:
    inline = [
        child.content
        for token in MarkdownIt().enable("table").parse(PAGES[page].read_text(encoding="utf-8"))
        for child in token.children or ()
        if child.type == "code_inline"
    ]
    named = {code.split()[1] for code in inline if re.match(r"normcheck [a-z]+\b(?!\.)", code)}
    assert named <= COMMANDS.keys()
    assert set(OPTION.findall("\n".join(inline))) <= {*options(group), *OF_OTHER_COMMANDS}


def test_the_readme_has_the_figures_that_were_measured() -> None:
    """docs/power.md is written by ``make power``, the registry is what runs."""
    power = PAGES["docs/power.md"].read_text(encoding="utf-8")
    corpus = re.search(r"corpus of (\d+) deliberately broken implementations and\s+(\d+) honest", power)
    assert corpus
    broken, honest = corpus.groups()
    english = " ".join(PAGES["README.md"].read_text(encoding="utf-8").split())
    assert f"{broken} broken implementations, and that it accuses none of {honest} honest ones" in english
    assert f"the {len(BUILTIN)} backends" in english
    accused = re.search(r"## Accused.*?(?=\n## )", power, re.DOTALL)
    assert accused
    assert set(re.findall(r"(\d+) / \d+", accused[0])) == {"0"}
    korean = KOREAN.read_text(encoding="utf-8")
    assert all(f"{number}개" in korean for number in (broken, honest, len(BUILTIN)))


def test_the_reference_has_every_public_name() -> None:
    page = PAGES["docs/reference/python.md"].read_text(encoding="utf-8")
    listed = {path.rpartition(".")[2] for path in re.findall(r"^::: (normcheck\.\S+)$", page, re.MULTILINE)}
    assert listed == set(normcheck.__all__) - {"__version__"}


def test_the_korean_readme_has_the_commands_of_the_english_one() -> None:
    english, korean = (
        [(block.language, block.title, block.text) for block in blocks(path)]
        for path in (PAGES["README.md"], KOREAN)
    )
    assert korean == english


def test_the_korean_readme_has_the_tables_of_the_english_one() -> None:
    """Marks, keys and values are what programs print and read: they are not translated."""

    def cells(path: Path) -> list[tuple[str, list[str]]]:
        rows = re.findall(r"^\| (.*?) \|(.*)\|$", path.read_text(encoding="utf-8"), re.MULTILINE)
        return [(first, re.findall(r"`[^`]+`", rest)) for first, rest in rows]

    english, korean = cells(PAGES["README.md"]), cells(KOREAN)
    heads = {first for first, _ in english} - {first for first, _ in korean}
    assert heads == {"mark", "key"}
    assert [row for row in korean if row[0] not in ("기호", "키")] == [
        row for row in english if row[0] not in heads
    ]


def test_each_readme_names_the_other() -> None:
    assert "(README.ko.md)" in PAGES["README.md"].read_text(encoding="utf-8")
    assert "(README.md)" in KOREAN.read_text(encoding="utf-8")
