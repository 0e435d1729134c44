"""A tensor as a grid, samples down and channels across, that shows which elements share statistics.

An element shows its value, the letter of its statistic set and, where there is colour, the set's colour.
Large tensors show their first corner.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from normcheck.explain.sets import Explanation, letters

SAMPLES, CHANNELS, POSITIONS = 2, 4, 3
FLAT_SAMPLES, FLAT_CHANNELS = 6, 8  # where there are no positions there is room for more
GAP = 2  # columns between channels

# Black on colours of the 256 that keep a contrast of 7 with it, and that fall on different colours where a
# terminal has but 16.
FOREGROUND = "color(16)"
BACKGROUNDS = (117, 222, 78, 212, 183, 209, 37, 188)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corner:
    """The part of an explanation's tensor that fits, by (sample, row, channel, column)."""

    shown: tuple[int, ...]  # how many samples, channels and positions along each axis
    cells: dict[tuple[int, ...], str]
    sets: NDArray[np.int64]
    cell_width: int

    @property
    def numbers(self) -> frozenset[int]:
        """The statistic sets that are seen."""
        return frozenset(self.sets.ravel().tolist())


def corner(explanation: Explanation, width: int) -> Corner:
    """The first samples, channels and positions: as many as fit in ``width`` columns."""
    shape = explanation.x.shape
    if len(shape) == 2:
        return _fitted(explanation, [FLAT_SAMPLES, FLAT_CHANNELS], width)
    slices, rows = [1] * (len(shape) - 4), [POSITIONS] * (len(shape) > 3)
    wide, narrow = (
        _fitted(explanation, [SAMPLES, CHANNELS, *slices, *rows, columns], width)
        for columns in (POSITIONS, POSITIONS - 1)
    )
    # which channels belong together says more than one more column does
    return narrow if narrow.shown[1] > wide.shown[1] else wide


def _fitted(explanation: Explanation, limits: list[int], width: int) -> Corner:
    """The first elements up to ``limits``, with as many channels as fit."""
    shown = [min(limit, size) for limit, size in zip(limits, explanation.x.shape, strict=True)]
    tried = _cut(explanation, shown)
    room = (width - _label_width(tried)) // (_block_width(explanation, tried) + GAP)
    shown[1] = max(1, min(shown[1], room))
    return _cut(explanation, shown)


def left_out(explanation: Explanation, seen: Corner) -> str:
    """The part that the picture does not show, in words; empty if it shows everything."""
    parts = [
        f"{shown} of {size} {name}s"
        for name, size, shown in zip(explanation.axis_names, explanation.x.shape, seen.shown, strict=True)
        if shown < size
    ]
    return f"Only the beginning is shown: the first {', '.join(parts)}." if parts else ""


def colours(seen: Corner) -> dict[int, str]:
    """A style for each statistic set that is seen; sets that touch each other differ."""
    return {
        number: f"{FOREGROUND} on color({BACKGROUNDS[turn]})" for number, turn in turns(seen.sets).items()
    }


def turns(sets: NDArray[np.int64]) -> dict[int, int]:
    """Which of the colours each statistic set of a picture (samples, rows, channels, columns) has."""
    samples, rows, channels, columns = sets.shape
    page = sets.reshape(samples * rows, channels * columns)
    touching: dict[int, set[int]] = {number: set() for number in sorted(set(sets.ravel().tolist()))}
    for one, other in ((page[:, :-1], page[:, 1:]), (page[:-1], page[1:])):
        for a, b in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True):
            touching[a].add(b)
            touching[b].add(a)
    chosen: dict[int, int] = {}
    for turn, (number, neighbours) in enumerate(touching.items()):
        taken = {chosen[neighbour] for neighbour in neighbours if neighbour in chosen and neighbour != number}
        order = [(turn + step) % len(BACKGROUNDS) for step in range(len(BACKGROUNDS))]
        chosen[number] = next((turn for turn in order if turn not in taken), order[0])
    return chosen


def draw(explanation: Explanation, seen: Corner) -> Iterator[Text]:
    """The lines of the grid."""
    styles = colours(seen)
    samples, rows, channels, _ = seen.sets.shape
    label_width = _label_width(seen)
    block = _block_width(explanation, seen)
    heads = (f"{' ' * GAP}{_head(explanation, channel):<{block}}" for channel in range(channels))
    yield Text(f"{'channel':<{label_width}}{''.join(heads)}".rstrip(), style="bold")
    for sample in range(samples):
        for row in range(rows):
            label = f"sample {sample}" if row == 0 else ""
            line = Text(f"{label:<{label_width}}")
            for channel in range(channels):
                line.append(" " * GAP)
                line.append_text(_block(seen, (sample, row, channel), styles, block))
            yield line
        if rows > 1 and sample + 1 < samples:
            yield Text("")


def _block(seen: Corner, where: tuple[int, int, int], styles: dict[int, str], width: int) -> Text:
    """One row of one channel of one sample."""
    text = Text()
    numbers = seen.sets[where].tolist()
    for column, number in enumerate(numbers):
        text.append(f"{seen.cells[*where, column]:>{seen.cell_width}}", style=styles[number])
    text.append(" ", style=styles[numbers[-1]])
    return text.append(" " * (width - len(text)))


def _cut(explanation: Explanation, shown: list[int]) -> Corner:
    index = tuple(slice(0, size) for size in shown)
    values = as_pages(explanation.x[index])
    sets = as_pages(explanation.sets[index])
    write = number_format(values.ravel().tolist())
    marks = [letters(number) for number in sets.ravel().tolist()]
    longest = max(map(len, marks))
    cells = {
        index: f"{write(value)}{mark:<{longest}}"
        for (index, value), mark in zip(np.ndenumerate(values), marks, strict=True)
    }
    return Corner(shown=tuple(shown), cells=cells, sets=sets, cell_width=1 + max(map(len, cells.values())))


def as_pages(array: NDArray[Any]) -> NDArray[Any]:
    """(samples, channels, *positions) as (samples, rows, channels, columns); of slices only one was cut."""
    samples, channels, *positions = array.shape
    rows, columns = [1, 1, *positions][-2:]
    return array.reshape(samples, channels, rows, columns).transpose(0, 2, 1, 3)


def number_format(values: list[float]) -> Callable[[float], str]:
    """A format that keeps numbers short and distinct within one tensor: about three digits."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    largest, spread = max(map(abs, finite)), max(finite) - min(finite)
    if largest < 1e6 and all(value.is_integer() for value in finite):
        return "{:.0f}".format
    decimals = 2 - math.floor(math.log10(spread or largest))
    return f"{{:.{max(decimals, 0)}f}}".format if largest < 1e6 and decimals <= 6 else "{:.2e}".format


def _head(explanation: Explanation, channel: int) -> str:
    names = explanation.channel_names
    return f" {channel} {names[channel]}" if names else f" {channel}"


def _block_width(explanation: Explanation, seen: Corner) -> int:
    heads = [len(_head(explanation, channel)) for channel in range(seen.shown[1])]
    columns: int = seen.sets.shape[3]
    return max(1 + columns * seen.cell_width, *heads)


def _label_width(seen: Corner) -> int:
    return len(f"sample {seen.shown[0] - 1}")
