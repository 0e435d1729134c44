"""The error of a result over its tensor: where each element is in the picture, and how bad it is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

from normcheck.report import Comparison
from normcheck.reports.text import plural, roundoffs

WRAP = 64  # columns after which a long axis goes on in the next line
ACROSS = 72  # columns of all channels side by side, at most
WORST = 10  # elements that the table beside a picture lists
CLASSES = (  # of β in units of what is allowed
    (0.0, "exact"),
    (0.1, "up to 0.1 of the allowed"),
    (1.0, "allowed"),
    (10.0, "up to 10 times the allowed"),
    (100.0, "up to 100 times"),
    (math.inf, "more than 100 times"),
)
NOT_FINITE, UNDECIDED = len(CLASSES), len(CLASSES) + 1
Index = tuple[int, ...]


def heat_map(result: Comparison) -> dict[str, Any]:
    """What the picture of a failing result is drawn from, and in words."""
    evidence, allowed = result.judgement.evidence, result.allowed
    assert evidence is not None  # noqa: S101 (asked for where there is some)
    assert allowed is not None  # noqa: S101
    channel = result.case.params.channel_axis % len(result.case.shape) if evidence.sets else None
    places = Layout(evidence.shape, channel)
    cells = [
        {
            "c": column,
            "r": row,
            "k": level(beta, allowed),
            "element": str(list(index)),
            "actual": _figure(evidence.actual[number]),
            "expected": _figure(evidence.expected[number]),
            "beta": roundoffs(beta),
            "times": roundoffs(beta / allowed) if allowed else "",
            **({"x": _figure(evidence.x[number])} if evidence.x else {}),
            **({"set": evidence.sets[number]} if evidence.sets else {}),
        }
        for number, (beta, (column, row, index)) in enumerate(
            zip(evidence.backward_error, places.cells(evidence.start), strict=True)
        )
    ]
    return {
        "cells": cells,
        "labels": list(places.labels(evidence.start)),
        "columns": places.columns,
        "rows": places.rows,
        "caption": caption(result),
        "description": description(result),
    }


def level(beta: float, allowed: float) -> int:
    """The class of a backward error; of those that no number measures their own."""
    if math.isnan(beta):
        return UNDECIDED
    if math.isinf(beta):
        return NOT_FINITE
    share = beta / allowed if allowed else math.inf if beta else 0.0
    return next(number for number, (most, _) in enumerate(CLASSES) if share <= most)


def caption(result: Comparison) -> str:
    """Which elements the picture shows."""
    evidence = result.judgement.evidence
    assert evidence is not None  # noqa: S101
    shown = math.prod(evidence.shape)
    shape = "×".join(map(str, evidence.shape))
    if shown == result.total:
        return f"Error of every element of {result.output}, {shape}"
    return (
        f"Error of {plural(shown, 'element')} of {result.total} of {result.output}: "
        f"a block of {shape} around the worst, from {list(evidence.start)}"
    )


def description(result: Comparison) -> str:
    """The picture in words."""
    evidence, allowed = result.judgement.evidence, result.allowed
    assert evidence is not None  # noqa: S101
    over = [n for n, beta in enumerate(evidence.backward_error) if beta > (allowed or 0.0)]
    text = f"{len(over)} of {plural(len(evidence.actual), 'element')} shown exceed the allowed backward error"
    if evidence.sets:
        sets, bad = set(evidence.sets), {evidence.sets[number] for number in over}
        text += f", in {len(bad)} of {plural(len(sets), 'statistic set')}"
    return f"{text}."


def histogram(result: Comparison) -> dict[str, Any] | None:
    """How many elements are off by how many ulp; None where that is not known."""
    evidence = result.judgement.evidence
    assert evidence is not None  # noqa: S101
    if not evidence.ulp:
        return None
    bars = [{"ulp": ulp_label(place), "count": count, "n": place} for place, count in enumerate(evidence.ulp)]
    most = max(range(len(bars)), key=lambda place: evidence.ulp[place])
    exact, total = evidence.ulp[0], sum(evidence.ulp)
    words = (
        f"{exact} of {plural(total, 'element')} exact; most often {bars[most]['ulp']} ulp "
        f"({plural(evidence.ulp[most], 'element')}); the largest are {bars[-1]['ulp']} ulp."
    )
    return {"bars": bars, "description": words}


def ulp_label(place: int) -> str:
    """The distances that a bar counts: ``0``, ``1``, ``2–3``, ``64–127``, and from there ``2⁷–2⁸``."""
    if place < 2:
        return str(place)
    return f"{2 ** (place - 1)}–{2**place - 1}" if place < 8 else f"2{_raised(place - 1)}–2{_raised(place)}"


def _raised(power: int) -> str:
    return str(power).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def worst_rows(result: Comparison) -> list[dict[str, Any]]:
    """The worst elements of the picture, the worst first."""
    evidence = result.judgement.evidence
    assert evidence is not None  # noqa: S101
    betas = evidence.backward_error
    order = sorted(range(len(betas)), key=lambda n: -1.0 if math.isnan(betas[n]) else betas[n], reverse=True)
    indices = list(_indices(evidence.shape, evidence.start))
    return [
        {
            "index": list(indices[number]),
            "set": evidence.sets[number] if evidence.sets else "",
            "x": _figure(evidence.x[number]) if evidence.x else "",
            "actual": _figure(evidence.actual[number]),
            "expected": _figure(evidence.expected[number]),
            "beta": roundoffs(betas[number]),
        }
        for number in order[:WORST]
        if betas[number] > 0
    ]


class Layout:
    """Where the elements of a block are in the picture: a panel for each sample and channel, of what is left.

    With three axes a panel is a sample, with two there is one panel if its lines are short. Long lines go on in the
    next one. ``channel`` is the axis of the channels, None for an array without.
    """

    def __init__(self, shape: Index, channel: int | None) -> None:
        self._shape = shape
        order = self._order = _channel_second(len(shape), channel)
        moved = [shape[axis] for axis in order]
        self._outer = 0 if channel is None else {3: 1, 2: int(moved[-1] > WRAP)}.get(len(shape), 2)
        inner = moved[self._outer :]
        self._length = inner[-1] if inner else 1
        self._lines = -(-self._length // WRAP)
        self._width = min(self._length, WRAP)
        self._height = math.prod(inner[:-1]) * self._lines
        self._panels = moved[: self._outer]
        last = self._panels[-1] if self._panels else 1
        self._abreast = max(1, min(last, (ACROSS + 1) // (self._width + 1)))
        self._stacked = -(-last // self._abreast)
        samples = math.prod(self._panels[:-1])
        self.columns = self._abreast * (self._width + 1) - 1
        self.rows = samples * self._stacked * (self._height + GAP) - GAP if self._outer else self._height

    def cells(self, start: Index) -> Iterator[tuple[int, int, Index]]:
        """Column, row and index in the output of each element, in C order of the block."""
        strides = _strides([self._shape[axis] for axis in self._order][self._outer : -1])
        for index in _indices(self._shape, (0,) * len(self._shape)):
            moved = [index[axis] for axis in self._order]
            left, top = self._corner(moved[: self._outer])
            line = sum(i * stride for i, stride in zip(moved[self._outer : -1], strides, strict=True))
            row = line * self._lines + moved[-1] // WRAP
            place = tuple(i + first for i, first in zip(index, start, strict=True))
            yield left + moved[-1] % WRAP, top + row, place

    def labels(self, start: Index) -> Iterator[dict[str, Any]]:
        """What stands above each panel."""
        first = [start[axis] for axis in self._order]
        for panel in itertools.product(*map(range, self._panels)):
            if not panel:
                return
            left, top = self._corner(list(panel))
            names = zip(("n", "c"), panel, first, strict=False)
            yield {"c": left, "r": top, "text": " ".join(f"{name}{i + f}" for name, i, f in names)}

    def _corner(self, panel: list[int]) -> tuple[int, int]:
        if not panel:
            return 0, 0
        *samples, last = panel
        line = sum(samples) * self._stacked + last // self._abreast
        return last % self._abreast * (self._width + 1), line * (self._height + GAP)


GAP = 2  # rows between panels, for their labels


def _channel_second(ndim: int, channel: int | None) -> tuple[int, ...]:
    first, *rest = (axis for axis in range(ndim) if axis != channel)
    return (first, *rest) if channel is None else (first, channel, *rest)


def _strides(sizes: list[int]) -> list[int]:
    return [math.prod(sizes[place + 1 :]) for place in range(len(sizes))]


def _indices(shape: Index, start: Index) -> Iterator[Index]:
    return itertools.product(*(range(first, first + size) for first, size in zip(start, shape, strict=True)))


def _figure(value: float) -> str:
    return f"{value:.9g}"
