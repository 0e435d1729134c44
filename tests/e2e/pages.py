"""The documentation's pages, the blocks of code on them, and a reader who does what they say."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from markdown_it import MarkdownIt
from safetensors.numpy import save_file
from support import CHECKOUT, Completed, strict_json

from normcheck.config import OWN_FILE, PROJECT_FILE, understood
from normcheck.ledger.read import ledger_of

PAGES = {
    str(path.relative_to(CHECKOUT)): path
    for path in (CHECKOUT / "README.md", CHECKOUT / "SKILL.md", *sorted((CHECKOUT / "docs").rglob("*.md")))
}
TITLE = re.compile(r'title="([^"]+)"')
EXIT_CODE = re.compile(r"# exit code (\d+)")
NUMBER = re.compile(r"[-+]?\d[\d.,]*(e[-+]?\d+)?")
LEFT_OUT = "…"  # lines that a page does not show
COLUMNS_APART = re.compile(r"\s+")

# Commands of other tools, as they stand on a page, and why they are not run here.
INSTALLS = "downloads what tests/e2e/test_wheel.py installs from here"
MAKES = "make is what CI runs"
OTHER_TOOLS = {
    "make compare": MAKES,
    "make test": MAKES,
    "pytest --normcheck-report json=report.json --normcheck-report table=-": "see tests/unit/test_pytest_plugin.py",
    "pip install normcheck": INSTALLS,
    "pip install 'normcheck[torch,jax]'": INSTALLS,
    "pip install 'normcheck[torch]'": INSTALLS,
    "pip install 'normcheck[jax]'": INSTALLS,
    "pip install 'normcheck[flax]'": INSTALLS,
    "pip install 'normcheck[all]'": INSTALLS,
    "pip install 'normcheck[report]'": INSTALLS,
}

# What a reader has and a test has not: what is typed in its place, and why.
STAND_INS = {
    ("--device", "cuda"): (("--device", "cpu"), "there may be no GPU"),
    ("--backend", "mylib"): (("--backend", "numpy"), "tests/e2e/test_plugin.py installs one"),
    ("--fixture", "core"): (("--fixture", "nc"), "one fixture of the tag shows that the command works"),
    ("--fixture", "adversarial"): (("--fixture", "n-3"), "likewise"),
}
SOURCES = {
    "norms.py": """import torch

def layer_norm(x, weight, bias, eps, normalized_shape):
    return torch.nn.functional.layer_norm(x, normalized_shape, weight, bias, eps)

def rms_norm(x, weight, eps, normalized_shape):
    wide = x.float()
    axes = tuple(range(-len(normalized_shape), 0))
    y = wide * torch.rsqrt(wide.pow(2).mean(axes, keepdim=True) + eps)
    return (y if weight is None else y * weight.float()).to(x.dtype)
""",
    "gemma.py": """import torch

def rms_norm(x, weight, eps, normalized_shape):
    axes = tuple(range(-len(normalized_shape), 0))
    y = x * torch.rsqrt(x.pow(2).mean(axes, keepdim=True) + eps)
    return y if weight is None else y * (1 + weight)
""",
}
WHERE_NONE_IS_TYPED = {"--fixture": "nc", "--backend": "numpy"}  # all of them take minutes
IN_FULL = {"compare --method layer --backend layer=torch:layers.py:ffn_norm"}  # chooses the fixtures that fit
CONFIGURATIONS = (OWN_FILE, PROJECT_FILE)
COMMANDS_THAT_RUN = ("compare", "record")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it is, its language, the file that it is."""

    where: str
    language: str
    title: str
    text: str


def blocks(path: Path) -> Iterator[Block]:
    """The blocks of a page, in order. An indented block is a formula, never code."""
    for token in MarkdownIt().parse(path.read_text(encoding="utf-8")):
        where = f"{path.relative_to(CHECKOUT)}:{token.map[0] + 1}" if token.map else str(path)
        if token.type == "fence":
            language, _, rest = token.info.partition(" ")
            title = TITLE.search(rest)
            yield Block(where, language, title[1] if title else "", token.content)
        assert token.type != "code_block" or "normcheck " not in token.content, f"{where}: fence this block"


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """The commands of a block, each with the output that the page shows: in a console, what a prompt does not begin."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language != "console":
        yield from ((line, []) for line in lines if line.strip())
        return
    shown: list[str] = []
    command = ""
    for line in lines:
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line.removeprefix("$ "), []
        else:
            assert command, f"{block.where}: output before a command"
            shown.append(line)
    yield command, shown


class Reader:
    """Follows a page in a folder: writes the files that it shows, runs its code and its commands."""

    def __init__(self, folder: Path, invoke: Callable[..., Completed]) -> None:
        self.folder = folder
        self.invoke = invoke
        self.namespace: dict[str, Any] = {"__name__": "__page__"}
        self.unused: set[str] = set()
        self._provide()

    def follow(self, block: Block) -> None:
        """Do what the block is for; a language without a rule is an error."""
        self.unused -= {name for name in self.unused if Path(name).stem in block.text}
        if block.title:
            if block.language != "toml":  # the configuration is in force unnamed
                self.unused.add(block.title)
            file = self.folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        rules: dict[str, Callable[[Block], None]] = {
            **dict.fromkeys(("", "sh", "console"), self._shell),
            "python": self._python,
            "toml": self._toml,
            "json": lambda block: strict_json(block.text),
            "yaml": self._yaml,
            "text": self._text,
        }
        assert block.language in rules, f"{block.where}: nothing checks {block.language!r}"
        rules[block.language](block)

    def _python(self, block: Block) -> None:
        code = compile(block.text, block.where, "exec")
        if not block.title:
            exec(code, self.namespace)  # noqa: S102

    def _toml(self, block: Block) -> None:
        assert block.title in CONFIGURATIONS, f"{block.where}: of which file? {CONFIGURATIONS}"
        config = understood(block.text, Path(block.title))  # None where it does not speak of normcheck
        if config is not None:
            ledger_of(config)

    def _text(self, block: Block) -> None:
        hidden = re.search(r"^(\$|normcheck|pip|make) .*", block.text, re.MULTILINE)
        assert not hidden, f"{block.where}: {hidden and hidden[0]!r} is a command, not text"

    def _yaml(self, block: Block) -> None:
        for text in texts(yaml.safe_load(block.text)):
            if text.startswith("normcheck "):
                self._shell(replace(block, language="sh", text=text))

    def _shell(self, block: Block) -> None:
        for line, shown in commands(block):
            words = shlex.split(line.replace("$GITHUB_STEP_SUMMARY", "summary.md"), comments=True)
            if words[:1] == ["normcheck"]:
                stated = EXIT_CODE.search(line)
                self._normcheck(block.where, words[1:], int(stated[1]) if stated else 0, shown)
            elif words:
                assert shlex.join(words) in OTHER_TOOLS, f"{block.where}: run {line!r}, or say why not"

    def _normcheck(self, where: str, words: Sequence[str], code: int, shown: Sequence[str]) -> None:
        done = self.invoke(*here(words, shortened=not shown), cwd=self.folder)
        assert done.returncode == code, f"{where}: {done.stdout}{done.stderr}"
        measured = words[0] != "explain"
        left = iter([comparable(line, measured) for line in done.stdout.splitlines()])
        for line in shown:
            assert line == LEFT_OUT or comparable(line, measured) in left, f"{where}: {line}\n\n{done.stdout}"

    def _provide(self) -> None:
        """What the pages speak of as the reader's: data, another interpreter, a first source file."""
        draw = np.random.default_rng(0)
        numbers = {
            "x": draw.normal(size=(2, 6, 4, 4)),
            "weight": draw.normal(size=6),
            "bias": draw.normal(size=6),
        }
        arrays = {name: array.astype(np.float32) for name, array in numbers.items()}
        rows = draw.normal(size=(3, 768)).astype(np.float32)
        (self.folder / "norm.py").write_text(SOURCES["norms.py"], encoding="utf-8")
        np.savez(self.folder / "activations.npz", **arrays)
        np.save(self.folder / "activations.npy", rows)
        (self.folder / "data").mkdir()
        save_file({"x": rows}, self.folder / "data/activations.safetensors")
        (self.folder / "src").mkdir()
        for name, text in SOURCES.items():
            (self.folder / "src" / name).write_text(text, encoding="utf-8")
        python = self.folder / "path/to/venv/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
        python.chmod(0o755)


def texts(document: Any) -> Iterator[str]:
    """The texts of a document of YAML, such as the commands of a workflow."""
    if isinstance(document, str):
        yield document
    for part in (
        document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    ):
        yield from texts(part)


def here(words: Sequence[str], *, shortened: bool) -> list[str]:
    """The command as this machine can run it, in a moment; what shows its output is run as it stands."""
    found = list(words)
    for pair, (instead, _) in STAND_INS.items():
        for i in range(len(found) - 1):
            if tuple(found[i : i + 2]) == pair:
                found[i : i + 2] = instead
    if found == ["backends"]:
        return ["backends", "numpy"]  # all of them are started
    if shortened and found[0] in COMMANDS_THAT_RUN and " ".join(found) not in IN_FULL:
        for option, value in WHERE_NONE_IS_TYPED.items():
            if option not in found and not (option == "--backend" and "--suite" in found):
                found += (option, value)
    return found


def comparable(line: str, measured: bool) -> str:
    """A line without what differs between machines: spaces of columns and, where they are measured, numbers."""
    line = COLUMNS_APART.sub(" ", line).strip()
    return NUMBER.sub("#", line) if measured else line
