"""The statistic sets of a block as pieces of x, each divided by a power of two where the oracle is precise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from normcheck.methods.tiles import Tile
from normcheck.oracle.inputs import Inputs
from normcheck.oracle.parts import Each
from normcheck.oracle.statistics import Piece, exponents

T = TypeVar("T")


class Pieces:
    """The pieces at ``tiles``, which hold so many ``sets``. A tile that is all of them is held until :meth:`drop`.

    ``exponent`` (sets, 1) is that of the power of two.
    """

    def __init__(
        self, inputs: Inputs, tiles: Sequence[Tile], sets: int, eps: float, each: Each, *, precise: bool
    ) -> None:
        self._inputs, self._tiles, self._each, self._precise = inputs, tiles, each, precise
        self.exponent = np.zeros((sets, 1), dtype=np.int_)
        if precise:
            self.exponent = exponents(each(inputs.largest, tiles), eps)
        self._held: Piece | None = None
        if len(tiles) == 1:
            self._held = self.at(tiles[0])

    def at(self, tile: Tile) -> Piece:
        """The piece at ``tile``."""
        if self._held is not None:
            return self._held
        x = self._inputs.x_of(tile)
        scaled = np.ldexp(x, -self.exponent) if self._precise else x
        return Piece(scaled, precise=self._precise, keep=len(self._tiles) == 1)

    def over(self, function: Callable[[Piece], T], /) -> Iterable[T]:
        """What ``function`` makes of each piece, in their order."""
        return self._each(lambda tile: function(self.at(tile)), self._tiles)

    def drop(self) -> None:
        """Hold nothing any longer."""
        self._held = None
