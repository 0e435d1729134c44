"""One pass over a case: each tile is evaluated by the oracle once, and every candidate and canary judged by it.

On several threads where there is enough to do: NumPy lets go of the interpreter while it computes. Each thread takes
neighbouring blocks, or where there are few large ones neighbouring tiles of each, and what the threads have gathered
is put together in their order.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Output
from normcheck.judge.array import Bound
from normcheck.judge.canaries import Canaries, Look, Power, power
from normcheck.judge.distance import Figures, Measure, keep_freed_memory, threads_for
from normcheck.judge.scale import Scale
from normcheck.methods.tiles import Block, Tile
from normcheck.oracle import Oracle
from normcheck.oracle.parameters import Gathered
from normcheck.oracle.parts import Batch, Each, Evaluated, Sums

Floats = NDArray[np.floating]
Item = TypeVar("Item")
T = TypeVar("T")
PER_THREAD = 2**18  # elements from which another thread pays


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One output of one backend, of the right shape and dtype, and how it is judged."""

    backend: str
    output: Output
    array: Floats
    scale: Scale
    bound: Bound


class _State:
    """What one thread has gathered."""

    def __init__(
        self, candidates: Sequence[Candidate], sums: Sums, canary_sums: Mapping[str, Gathered]
    ) -> None:
        self.measures = [
            (each, Measure(each.scale, each.bound.allowed, each.bound.loose)) for each in candidates
        ]
        self.sums, self.canary_sums = sums, canary_sums

    def merge(self, other: _State) -> None:
        """Take in what another thread has gathered of what comes after."""
        for (_, own), (_, theirs) in zip(self.measures, other.measures, strict=True):
            own.figures.plus(theirs.figures)
        self.sums.merge(other.sums)
        for name, gathered in other.canary_sums.items():
            self.canary_sums[name].merge(gathered)


class Traversal:
    """One pass over the case of ``oracle``; ``bounds`` and ``scales`` are those of its outputs."""

    def __init__(
        self,
        case: Case,
        oracle: Oracle,
        bounds: Mapping[Output, Bound],
        scales: Mapping[Output, Scale],
    ) -> None:
        self.case, self.oracle, self.bounds, self.scales = case, oracle, bounds, scales
        self._canaries: Canaries | None = None

    def prepare(self) -> None:
        """Compute what needs no candidates."""
        with self._mapping() as (each, _):
            self.oracle.prepare(each)
            self._canaries = Canaries(self.case, self.oracle, self.bounds, self.scales, each)

    def run(self, candidates: Sequence[Candidate]) -> tuple[Sequence[Figures], Mapping[Output, Power]]:
        """The figures of each candidate, and the power of the case for each output."""
        if self._canaries is None:
            self.prepare()
        assert self._canaries is not None  # noqa: S101 (it has just been made)
        with self._mapping() as (each, threads):
            return self._run(candidates, self._canaries, each, threads)

    @contextmanager
    def _mapping(self) -> Iterator[tuple[Each, int]]:
        """A map, and on how many threads it is."""
        keep_freed_memory()
        threads = threads_for(self.oracle.inputs.x.size, PER_THREAD)
        if threads == 1:
            yield map, 1
            return
        with ThreadPoolExecutor(threads) as pool:
            yield _pooled(pool), threads

    def _run(
        self, candidates: Sequence[Candidate], canaries: Canaries, each: Each, threads: int
    ) -> tuple[Sequence[Figures], Mapping[Output, Power]]:
        oracle = self.oracle
        states = [_State(candidates, oracle.sums(), canaries.weight_sums()) for _ in range(threads)]
        batches: list[Batch] = []
        powers: dict[Output, Power] = {}
        if len(oracle.blocks) >= 2 * threads or threads == 1:
            spans = zip(_spans(oracle.blocks, threads), states, strict=True)
            found = each(lambda span: [self._block(block, canaries, span[1]) for block in span[0]], spans)
            blocks = (block for span in found for block in span)
        else:
            blocks = (self._large_block(block, canaries, states, each) for block in oracle.blocks)
        for batch, looked in blocks:
            batches.append(batch)
            for output, some in looked.items():
                powers[output] = powers[output].plus(some) if output in powers else some
        first, *others = states
        for other in others:
            first.merge(other)
        totals = oracle.totals(batches, first.sums)
        for output, truth in totals.items():
            powers[output] = power(canaries.looks_at_whole(output, truth, first.canary_sums))
            for candidate, measure in first.measures:
                if candidate.output is output:
                    measure.add_whole(candidate.array, truth)
        nothing = power([])
        figures = [measure.figures for _, measure in first.measures]
        return figures, {output: powers.get(output, nothing) for output in self.case.outputs}

    def _block(self, block: Block, canaries: Canaries, state: _State) -> tuple[Batch, dict[Output, Power]]:
        evaluated = self.oracle.evaluate(block)
        return evaluated.batch, _powers([self._tiles(evaluated, block.tiles, canaries, state)])

    def _large_block(
        self, block: Block, canaries: Canaries, states: Sequence[_State], each: Each
    ) -> tuple[Batch, dict[Output, Power]]:
        evaluated = self.oracle.evaluate(block, each)
        spans = [span for span in zip(_spans(block.tiles, len(states)), states, strict=True) if span[0]]
        looks = each(lambda span: self._tiles(evaluated, span[0], canaries, span[1]), spans)
        return evaluated.batch, _powers(looks)

    def _tiles(
        self, evaluated: Evaluated, tiles: Sequence[Tile], canaries: Canaries, state: _State
    ) -> Mapping[Output, Look]:
        """Go through ``tiles`` of one block; what has been seen of the canaries in any of them."""
        looks: Mapping[Output, Look] = {}
        for tile in tiles:
            part = evaluated.part(tile)
            for candidate, measure in state.measures:
                if (truth := part.truths.get(candidate.output)) is not None:
                    measure.add(tile.cut(candidate.array), truth, tile.locate)
            state.sums.add(part)
            canaries.add(tile, state.canary_sums)
            found = canaries.look(part)
            looks = {output: looks[output].plus(look) for output, look in found.items()} if looks else found
        return looks


def _powers(looks: Iterable[Mapping[Output, Look]]) -> dict[Output, Power]:
    """The power in one block, from looks at all of its tiles."""
    first, *others = looks
    whole = {
        output: functools.reduce(Look.plus, (look[output] for look in others), first[output])
        for output in first
    }
    return {output: power([look]) for output, look in whole.items()}


def _spans(items: Sequence[Item], count: int) -> list[Sequence[Item]]:
    """``items`` in ``count`` runs of neighbours, as equal as they can be."""
    ends = [len(items) * number // count for number in range(count + 1)]
    return [items[start:stop] for start, stop in itertools.pairwise(ends)]


def _pooled(pool: Executor) -> Each:
    """A map on the threads of ``pool``, with the same silence about what is not finite."""

    def each(function: Callable[[Item], T], items: Iterable[Item]) -> Iterator[T]:
        def silent(item: Item) -> T:
            with np.errstate(all="ignore"):  # each thread has another state
                return function(item)

        return pool.map(silent, items)

    return each
