"""HTML pages of one file, which ask for nothing else and run no script but their own.

Jinja2 fills the templates. Everything that a template writes is escaped, and what could reorder or steer text is
written out, so that the names of others are harmless wherever they stand.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from normcheck.errors import MissingExtraError
from normcheck.printable import printable

TEMPLATES = ("normcheck.page", "normcheck.reports", "normcheck.explain")  # packages that have some
NEEDED = ("jinja2",)


def require(what: str, *more: str) -> None:
    """MissingExtraError where ``what`` cannot be written here; ``more`` names modules beside the usual ones."""
    for module in (*NEEDED, *more):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(f"{what} needs {module}: pip install 'normcheck[report]'")


def page(template: str, *, styles: Sequence[str], scripts: Sequence[str], data: Any, **context: Any) -> str:
    """The page that ``template`` makes of ``context``.

    ``styles`` and ``scripts`` are their texts; a script finds ``data`` as JSON in the element ``data``. The page
    forbids whatever is not in it: other scripts, requests, frames, forms.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(
        styles=[_raw(style) for style in styles],
        scripts=[_raw(script) for script in scripts],
        policy=_policy(styles, scripts),
        data=_raw(_json(data)),
        **context,
    )
    return text if text.endswith("\n") else f"{text}\n"


def resource(package: str, name: str) -> str:
    """The text of a file among the templates of ``package``."""
    return files(package).joinpath("templates", name).read_text(encoding="utf-8")


def pictures_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, which needs no network; some seconds of work, once a process."""
    import vl_convert

    text: str = vl_convert.javascript_bundle(snippet="window.vegaEmbed = vegaEmbed;")
    return text


def harmless(text: str) -> str:
    """``text`` without what steers, reorders or cannot be encoded."""
    return printable(text).encode("utf-8", "backslashreplace").decode("utf-8")


def _harmless(value: Any) -> Any:
    """What a template writes; markup, which is ours, stays as it is."""
    return harmless(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _raw(text: str) -> Any:
    from markupsafe import Markup

    for ending in ("</script", "</style", "<!--"):
        if ending in text.lower():
            raise ValueError(f"a script or style holds {ending!r}, which would end it")
    return Markup(text)  # noqa: S704 (our own files, or JSON without <)


def _policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """The content security policy: nothing but these texts, and no request at all."""
    parts = {
        "default-src": ["'none'"],
        "script-src": [_digest(script) for script in scripts],
        "style-src": [_digest(style) for style in styles],
        "img-src": ["data:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    return "; ".join(" ".join([name, *values]) for name, values in parts.items())


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(data: Any) -> str:
    """JSON that is harmless inside a script element."""
    text = json.dumps(_plain(data), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _plain(data: Any) -> Any:
    """``data`` with harmless texts."""
    if isinstance(data, str):
        return harmless(data)
    if isinstance(data, Mapping):
        return {harmless(name): _plain(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    return data
