"""Text of others, such as names of files and what a backend prints, made harmless for a terminal and a page."""

from __future__ import annotations

import re

_CONTROL = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f"  # ESC and the like
    "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069"  # the direction of writing
    "\\u200b-\\u200d\\u2060-\\u2064\\ufeff\\U000e0000-\\U000e007f"  # what is not seen
    "\\u2028\\u2029\\ud800-\\udfff\\ufffe\\uffff]"  # other ends of lines; what is no character
)
_LINE = re.compile(r"[\t\n]")


def printable(text: str) -> str:
    """``text`` with everything that could steer a terminal written out: ESC becomes ``\\x1b``."""
    return _CONTROL.sub(_written, text)


def one_line(text: str) -> str:
    """``printable`` text whose tabs and line ends are written out too: a name, wherever a line has a meaning."""
    return _LINE.sub(_written, printable(text))


def _written(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
