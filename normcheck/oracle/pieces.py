"""The statistic sets of a block as pieces of x, each divided by a power of two where the oracle is precise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from normcheck.methods.tiles import Tile
from normcheck.oracle.elements import Piece
from normcheck.oracle.inputs import Inputs
from normcheck.oracle.parts import Each
from normcheck.oracle.reals import Array
from normcheck.oracle.rule import Rule
from normcheck.oracle.statistics import exponents

T = TypeVar("T")


class Pieces:
    """The pieces at ``tiles``, which hold so many ``sets``. A tile that is all of them is held until :meth:`drop`.

    ``exponent`` (sets, 1) is that of the power of two.
    """

    def __init__(
        self, inputs: Inputs, tiles: Sequence[Tile], sets: int, rule: Rule, each: Each, *, precise: bool
    ) -> None:
        self._inputs, self._tiles, self._each, self._precise = inputs, tiles, each, precise
        self.exponent = np.zeros((sets, 1), dtype=np.int_)
        if precise:
            self.exponent = exponents(each(inputs.largest, tiles), rule)
        self._held: Piece | None = None
        if len(tiles) == 1:
            self._held = self.at(tiles[0])

    def at(self, tile: Tile) -> Piece:
        """The piece at ``tile``."""
        if self._held is not None:
            return self._held
        return piece_of(self._inputs, tile, self.exponent, precise=self._precise, keep=len(self._tiles) == 1)

    def over(self, function: Callable[[Piece], T], /) -> Iterable[T]:
        """What ``function`` makes of each piece, in their order."""
        return self._each(lambda tile: function(self.at(tile)), self._tiles)

    def drop(self) -> None:
        """Hold nothing any longer."""
        self._held = None


def piece_of(
    inputs: Inputs, tile: Tile, exponent: NDArray[np.int_] | None, *, precise: bool, keep: bool = False
) -> Piece:
    """The elements of x at ``tile``, where ``precise`` divided by 2**``exponent`` (None: as they are)."""

    def scaled(array: Array | None) -> Array | None:
        return np.ldexp(array, -exponent) if precise and exponent is not None and array is not None else array

    x = scaled(inputs.x_of(tile))
    assert x is not None  # noqa: S101 (there is always an x)
    tail = scaled(inputs.tail_of(tile)) if precise else None
    return Piece(x, precise=precise, keep=keep, tail=tail, size=scaled(inputs.size_of(tile)))
