"""``normcheck explain --html``: the methods side by side on one tensor, as an HTML page of one file.

Every number in it is computed here, by the code that the other commands use: the page only shows and hides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from normcheck.case import Method
from normcheck.explain.grid import as_pages, number_format, turns
from normcheck.explain.sets import Explanation, letters
from normcheck.explain.show import code, formula_words, headline, in_words
from normcheck.methods import definition
from normcheck.page import page, resource
from normcheck.parameters import format_groups

PACKAGE = "normcheck.explain"
SAMPLES, CHANNELS, SLICES, POSITIONS = 2, 8, 1, 4  # that are shown, along each axis
FLAT_SAMPLES, FLAT_CHANNELS = 6, 12  # where there are no positions


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A method: one explanation, or one for each number of groups; ``start`` is the one that is shown first."""

    method: Method
    stops: Sequence[Explanation]
    start: int = 0


def render(panels: Sequence[Panel], notes: Sequence[str]) -> str:
    """The page, ending with a newline."""
    first = panels[0].stops[0]
    shown = _shown(first)
    return page(
        "explain.html",
        styles=[resource("normcheck.page", "base.css"), resource(PACKAGE, "explain.css")],
        scripts=[resource(PACKAGE, "explain.js")],
        data=[[_stop(explanation, shown) for explanation in panel.stops] for panel in panels],
        title=f"What each normalization averages over: {first.fixture.name}",
        grid=_grid(first, shown),
        left_out=_left_out(first, shown),
        notes=notes,
        panels=[_panel(panel, shown) for panel in panels],
    )


def _panel(panel: Panel, shown: tuple[int, ...]) -> dict[str, Any]:
    return {
        "name": f"{panel.method} norm",
        "method": panel.method.value,
        "used": definition(panel.method).used,
        "start": panel.start,
        "stops": len(panel.stops),
        "first": _stop(panel.stops[panel.start], shown),
    }


def _shown(explanation: Explanation) -> tuple[int, ...]:
    """How many elements along each axis are shown."""
    shape = explanation.x.shape
    limits: list[int] = [FLAT_SAMPLES, FLAT_CHANNELS]
    if len(shape) > 2:
        limits = [SAMPLES, CHANNELS, *[SLICES] * (len(shape) - 4), *[POSITIONS] * min(len(shape) - 2, 2)]
    return tuple(min(limit, size) for limit, size in zip(limits, shape, strict=True))


def _left_out(explanation: Explanation, shown: tuple[int, ...]) -> str:
    parts = [
        f"{count} of {size} {name}s"
        for name, size, count in zip(explanation.axis_names, explanation.x.shape, shown, strict=True)
        if count < size
    ]
    return (
        f"Only the beginning is shown: the first {', '.join(parts)}. Statistics are of all." if parts else ""
    )


def _cut(explanation: Explanation, shown: tuple[int, ...]) -> tuple[Any, Any]:
    """Values and sets of what is shown, by (sample, row, channel, column)."""
    index = tuple(slice(0, count) for count in shown)
    return as_pages(explanation.x[index]), as_pages(explanation.sets[index])


def _grid(explanation: Explanation, shown: tuple[int, ...]) -> dict[str, Any]:
    """The tensor: the same for all methods."""
    values, _ = _cut(explanation, shown)
    samples, rows, channels, columns = values.shape
    write = number_format(values.ravel().tolist())
    names = explanation.channel_names
    channel_names = [f"{channel} {names[channel]}" if names else str(channel) for channel in range(channels)]
    return {
        "channels": channel_names,
        "columns": columns,
        "samples": [
            [
                [
                    {
                        "value": write(values[sample, row, channel, column]),
                        "place": f"sample {sample}, channel {channel_names[channel]}"
                        + (f", row {row}" if rows > 1 else "")
                        + (f", column {column}" if columns > 1 else ""),
                    }
                    for channel in range(channels)
                    for column in range(columns)
                ]
                for row in range(rows)
            ]
            for sample in range(samples)
        ],
    }


def _groups(explanation: Explanation) -> str:
    """The number of groups, and which they are where they are given one by one."""
    params = explanation.case.params
    count = params.num_groups or len(params.groups or ())
    words = "1 group" if count == 1 else f"{count} groups"
    return words if params.groups is None else f"{words}: {format_groups(params.groups)}"


def _stop(explanation: Explanation, shown: tuple[int, ...]) -> dict[str, Any]:
    """Which set each element that is shown has, what these sets are, and the method in words."""
    _, sets = _cut(explanation, shown)
    order = sorted(set(sets.ravel().tolist()))
    turn = turns(sets)
    place = {number: where for where, number in enumerate(order)}
    return {
        "label": _groups(explanation),
        "headline": headline(explanation).plain,
        "words": in_words(explanation).plain,
        "cells": [place[number] for number in sets.ravel().tolist()],
        "sets": [
            {
                "letter": letters(number),
                "colour": turn[number],
                "members": explanation.members(number),
                "n": int(explanation.n[number]),
                "figures": {name: f"{figure[number]:.8g}" for name, figure in explanation.statistics.items()},
            }
            for number in order
        ],
        "rest": len(explanation.n) - len(order),
        "formula": formula_words(explanation).plain,
        "code": code(explanation, explanation.fixture.shape),
    }
