"""The site's pages from the repository's files: a hook of mkdocs (mkdocs.yml).

The Markdown of docs/ is written for readers of the repository: its links go to files, in docs/ or not. Here what
they go to becomes a page of the site, and the links go to that page.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from normcheck.cli import group

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "README.ko.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
)  # beside those of docs/
SHOWN_AS_THEY_ARE = (".md", ".svg", ".png")
SCHEMA = "normcheck/reports/schema.json"
ROLE = re.compile(r":(?:class|func|meth|attr|mod):(?=<)")  # of Sphinx, which mkdocstrings leaves as it is
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)[^)#\s]+(?=[)#])")


def address(path: str) -> str:
    """Where the site has a file or folder of the repository: a path in the docs/ that mkdocs sees."""
    if path == "README.md":
        return "index.md"
    inside = path.removeprefix("docs/") if path.startswith("docs/") else f"project/{path}"
    return inside if inside.endswith(SHOWN_AS_THEY_ARE) else f"{inside}.md"


def linked(markdown: str, path: str) -> Iterator[tuple[str, str]]:
    """The links of the file ``path`` to what is in the repository, with the path of what they go to."""
    for target in LINK.findall(markdown):
        found = os.path.normpath(os.path.join(os.path.dirname(path), target))
        if (ROOT / found / "README.md").is_file():
            found += "/README.md"
        if (ROOT / found).exists():
            yield target, found


def content(path: str) -> str:
    """The page of a file; that of a folder has all of its files."""
    here = ROOT / path
    if here.is_dir():
        parts = [f"- [{_title(file)}]({here.name}/{file.name})" for file in sorted(here.glob("*.md"))]
        return f"# {here.name.capitalize()}\n\n" + "\n".join(parts) + "\n"
    text = here.read_text(encoding="utf-8")
    if here.suffix == ".md":
        return text
    language = here.suffix.removeprefix(".") or "text"
    return f"# {here.name}\n\n```{language}\n{text}```\n"


def _title(file: Path) -> str:
    return file.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand outside docs/, and those that links go to."""
    left = [*PAGES, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    seen = set()
    while left:
        path = left.pop()
        if path in seen:
            continue
        seen.add(path)
        if files.get_file_from_path(address(path)) is None:
            files.append(File.generated(config, address(path), content=content(path)))
        if path.endswith(".md"):
            left += (found for _, found in linked((ROOT / path).read_text(encoding="utf-8"), path))
    config["repository"] = {address(path): path for path in sorted(seen)}  # a file after its folder
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links go to pages of the site, and put what is generated into its page."""
    here = page.file.src_uri
    path = config["repository"][here]
    pages = dict(linked(markdown, path))

    def of_the_site(match: re.Match[str]) -> str:
        target = match.group()
        if target not in pages:
            return target  # mkdocs complains
        return os.path.relpath(address(pages[target]), os.path.dirname(here))

    markdown = LINK.sub(of_the_site, markdown)
    for mark, generated in GENERATED.items():
        if mark in markdown:
            markdown = markdown.replace(mark, generated())
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Docstrings without what is meant for another tool."""
    return ROLE.sub("", html)


def commands() -> str:
    """The help of each command, as it is printed."""
    context = group.make_context("normcheck", [], resilient_parsing=True, terminal_width=80)
    parts = [f"```text\n{group.get_help(context)}\n```"]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        below = command.make_context(name, [], parent=context, resilient_parsing=True)
        parts.append(f"## {name}\n\n```text\n{command.get_help(below)}\n```")
    return "\n\n".join(parts)


def schema() -> str:
    """The JSON report's keys, as a table for each object of its schema."""
    described = json.loads((ROOT / SCHEMA).read_text(encoding="utf-8"))
    parts = [("report", described), *described["$defs"].items()]
    return "\n\n".join(_object(name, part) for name, part in parts)


def _object(name: str, part: Mapping[str, Any]) -> str:
    lines = [f"### {name}", "", part.get("description", "")]
    if "properties" not in part:
        return "\n".join([*lines, "", _kind(part)])
    lines += ["", "| key | value | |", "|---|---|---|"]
    for key, value in part["properties"].items():
        needed = "" if key in part.get("required", ()) else "optional. "
        lines.append(f"| `{key}` | {_kind(value)} | {needed}{value.get('description', '')} |")
    return "\n".join(lines)


def _kind(value: Mapping[str, Any]) -> str:
    """What a value may be, in a few words; the schema has the rest."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})"
    for word in ("oneOf", "anyOf"):
        if word in value:
            return " or ".join(_kind(choice) for choice in value[word])
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    if "enum" in value:
        return ", ".join(f"`{json.dumps(choice)}`" for choice in value["enum"])
    kind = value.get("type", "any")
    if kind == "array" and "items" in value:
        return f"array of {_kind(value['items'])}"
    if isinstance(extra := value.get("additionalProperties"), dict):
        return f"object, by name: {_kind(extra)}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


GENERATED = {
    "<!-- the site has the commands here -->": commands,
    "<!-- the site has the schema here -->": schema,
}
