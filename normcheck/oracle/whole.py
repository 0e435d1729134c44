"""The outputs of a case as whole arrays, put together from the parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Output
from normcheck.methods.tiles import Tile
from normcheck.oracle.evaluate import Oracle, oracle_of
from normcheck.oracle.inputs import Inputs
from normcheck.oracle.truth import Truth

Floats = NDArray[np.floating]


def evaluate(inputs: Inputs, outputs: Iterable[Output], **how: Any) -> dict[Output, Truth]:
    """All of ``outputs``; ``how`` is as :class:`normcheck.oracle.evaluate.Oracle` takes it."""
    return whole(Oracle(inputs, outputs, **how))


def truths_of(case: Case, arrays: Mapping[str, Floats]) -> dict[Output, Truth]:
    """What the oracle says of each output of ``case``, as whole arrays."""
    return whole(oracle_of(case, arrays))


def whole(oracle: Oracle) -> dict[Output, Truth]:
    """All outputs as whole arrays."""
    evaluated = [oracle.evaluate(block) for block in oracle.blocks]
    parts = [each.part(tile) for each in evaluated for tile in each.block.tiles]
    sums = oracle.sums()
    for part in parts:
        sums.add(part)
    found = oracle.totals([each.batch for each in evaluated], sums)
    for output in oracle.outputs:
        if output.is_elementwise:
            found[output] = _pasted([(part.tile, part.truths[output]) for part in parts], oracle)
    return {output: found[output] for output in oracle.outputs}


def _pasted(parts: Sequence[tuple[Tile, Truth]], oracle: Oracle) -> Truth:
    """An output of the shape of x from its parts."""
    arrays: dict[str, NDArray[Any]] = {}
    for name in ("value", "tail", "cond", "cond2", "forgiven", "undecided"):
        for tile, truth in parts:
            if (part := getattr(truth, name)) is None:
                continue
            if name not in arrays:
                arrays[name] = np.zeros(oracle.partition.shape, part.dtype)
            tile.paste(part, arrays[name])
    if not parts:
        empty = np.empty(oracle.partition.shape)
        arrays = {"value": empty, "cond": empty, "cond2": empty}
    n = parts[0][1].n if parts else oracle.n
    tail = arrays.pop("tail", None)
    return Truth(**arrays, tail=tail, n=n, unit=oracle.unit)
