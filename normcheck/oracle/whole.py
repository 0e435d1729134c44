"""The outputs of a case as whole arrays, put together from the parts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Output
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
    shape = oracle.partition.shape
    for output in oracle.outputs:
        if output.is_elementwise:
            arrays = {name: np.empty(shape) for name in ("value", "cond", "cond2")}
            first = parts[0].truths[output] if parts else None  # an empty batch has none
            optional = [name for name in ("tail", "forgiven") if getattr(first, name, None) is not None]
            arrays |= {name: np.empty(shape) for name in optional}
            excuse = next((part.truths[output].excuse for part in parts if part.truths[output].excuse), None)
            if excuse is not None:  # of sets of one element, beside others or not
                arrays["excused"] = np.zeros(shape)
            for part, name in itertools.product(parts, arrays):
                if (array := getattr(part.truths[output], name)) is not None:
                    part.tile.paste(array, arrays[name])
            found[output] = Truth(
                value=arrays["value"],
                tail=arrays.get("tail"),
                cond=arrays["cond"],
                cond2=arrays["cond2"],
                forgiven=arrays.get("forgiven"),
                excused=arrays.get("excused"),
                excuse=excuse,
                n=oracle.formulas.terms(output),
                unit=oracle.formulas.unit,
            )
    return {output: found[output] for output in oracle.outputs}
