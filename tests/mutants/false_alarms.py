"""How close do the honest built-in backends come to the bound? A false alarm is as bad as a miss.

    python tests/mutants/false_alarms.py --cases 10000 --backend torch --seed 0
    python tests/mutants/false_alarms.py --cases 1000 --backend torch --convention weight=1+w --dtype float32

draws layers of every kind that NUMERICS §4 lists (offsets to 10⁶, constants, ramps, outliers, log-normal,
sparse, images, tiny, huge; eps 1e-3 … 1e-12; n from 1 to 10⁵; any normalized axes; a weight and a bias for each
sample; a residual; gradients, running statistics, eval mode), has the backends compute them, in this process,
and prints for each backend, output and dtype the largest backward error in units of what is allowed, with the
seed that draws this very case again. Above 1 an honest backend is accused; exit code 1 says that one was.

With a convention the implementation that follows it, of ``corpus/by_convention.py``, takes the place of the
backend's own, and is judged by it; ``all`` is each value in turn. ``--record`` keeps the figures for docs/power.md.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from drawing import ANY, Drawn, Wanted, draw, each_convention, suits
from registry import CORPUS

from normcheck.backends import BUILTIN, DEFAULT
from normcheck.backends._base import Task
from normcheck.case import Method, Output
from normcheck.conventions.catalogue import PYTORCH, Convention
from normcheck.dtype import DType
from normcheck.dtypes import tagged, untagged
from normcheck.judge.array import Bound, Judgement, judge
from normcheck.methods import sums_dtype
from normcheck.oracle import truths_of
from normcheck.run.replies import task_of
from normcheck.verdict import Verdict
from normcheck.worker.compute import Worker

Array = np.ndarray
JAX_EAGER = "jax eager"
BACKENDS = (*DEFAULT, JAX_EAGER)
MOST_DRAWN = 200  # for each case that is computed
RECORD = Path(__file__).with_suffix(".json")
ROW = ("backend", "methods", "convention", "dtype", "cases", "results", "ratio", "accused")


@cache
def follower(method: Method, convention: Convention) -> Callable[..., Any]:
    sys.path.append(str(CORPUS))
    from by_convention import following

    return following(method, convention)


@cache
def adapter(name: str) -> Any:
    module, _, attribute = BUILTIN["jax" if name == JAX_EAGER else name].adapter.partition(":")
    return getattr(importlib.import_module(module), attribute)({})


def computed(backend: str, drawn: Drawn) -> Mapping[str, Array] | None:
    """The outputs of a built-in backend; None where it does not support the case."""
    case, module = drawn.case, adapter(backend)
    task = Task(**task_of(case))
    own = _not_jitted(module.METHODS[case.method]) if backend == JAX_EAGER else None
    if case.convention != PYTORCH:
        own = follower(case.method, case.convention)
    reply = Worker(module, own).compute(task, {name: tagged(array) for name, array in drawn.arrays.items()})
    if reply["status"] == "unsupported":
        return None
    if problem := reply.get("message") or reply["problems"] or reply["errors"] or reply["nondeterministic"]:
        raise RuntimeError(f"{backend}: {problem}: {drawn}")
    return {name: untagged(*found) for name, found in reply["outputs"].items()}


def _not_jitted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that the adapter takes for the user's, and leaves as it is."""

    def call(x: Any, weight: Any, bias: Any, **keywords: Any) -> Any:
        return function(x, weight, bias, **keywords)

    return call


def judged(drawn: Drawn, found: Mapping[str, Array]) -> Iterator[tuple[Output, Judgement]]:
    """The verdict on every output, as the engine gives it, before it asks if the case decides anything."""
    case = drawn.case
    truths = truths_of(case, drawn.arrays)
    for output, truth in truths.items():
        unit, bound = sums_dtype(case).output_roundoff, Bound.for_sums_of(truth.n)
        dtype = case.dtype_of(output)
        if output not in found and output.is_gradient and case.convention != PYTORCH:
            continue  # NumPy does not differentiate functions
        yield output, judge(found.get(output), truth, dtype=dtype, bound=bound, unit=unit)


@dataclass
class Tally:
    """What was found of one backend, output and dtype."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    seeds: set[int] = field(default_factory=set)  # of the cases
    ratio: float = 0.0  # largest backward error in units of what is allowed
    worst: str = ""

    def add(self, judgement: Judgement, drawn: Drawn) -> None:
        self.verdicts[judgement.verdict] += 1
        self.seeds.add(drawn.seed)
        if judgement.backward_error is None or judgement.allowed is None:
            return
        ratio = judgement.backward_error / judgement.allowed
        if ratio > self.ratio or not self.worst:
            self.ratio, self.worst = ratio, str(drawn)


Key = tuple[str, str, DType, Output]


def survey(
    backend: str,
    cases: int,
    seed: int,
    tallies: dict[Key, Tally],
    accused: list[str],
    wanted: Wanted = ANY,
) -> None:
    """Compute ``cases`` cases with ``backend``; every FAIL or LOOSE is also noted in ``accused``.

    But not PyTorch's in half precision: its CPU kernels round intermediates to it, so that it is rightly accused. So
    are those for channels-last memory (:func:`draw` asks for none): one-pass variances, and with one sample the
    gradients of instance norm are wrong (torch 2.13).
    """
    done = number = 0
    while done < cases and number < MOST_DRAWN * cases:
        drawn = draw(seed + number, backend, wanted)
        number += 1
        if not suits(drawn) or (found := computed(backend, drawn)) is None:
            continue
        done += 1
        for output, judgement in judged(drawn, found):
            tallies.setdefault((backend, wanted.name, drawn.case.dtype, output), Tally()).add(
                judgement, drawn
            )
            known = backend == "torch" and drawn.case.dtype.half and wanted.convention == PYTORCH
            if judgement.verdict in {Verdict.FAIL, Verdict.LOOSE} and not known:
                accused.append(f"{judgement.verdict} {backend} {output}: {judgement.reason}; {drawn}")


def _record(tallies: Mapping[Key, Tally], methods: str) -> None:
    """Put the figures of each backend, convention and dtype into RECORD, in place of older ones."""
    rows = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else []
    by_name = {tuple(row[name] for name in ROW[:4]): row for row in rows}
    alike: dict[tuple[str, ...], list[Tally]] = {}
    for (backend, convention, dtype, _), tally in tallies.items():
        known = backend == "torch" and dtype.half and not convention
        if not known:
            alike.setdefault((backend, methods, convention, dtype), []).append(tally)
    for name, found in alike.items():
        figures = (
            len(set().union(*(tally.seeds for tally in found))),
            sum(tally.verdicts.total() for tally in found),
            max(tally.ratio for tally in found),
            sum(tally.verdicts[verdict] for tally in found for verdict in (Verdict.FAIL, Verdict.LOOSE)),
        )
        by_name[name] = dict(zip(ROW, (*name, *figures), strict=True))
    text = json.dumps([by_name[name] for name in sorted(by_name)], indent=1)
    RECORD.write_text(text + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="How close do honest backends come to the bound?")
    parser.add_argument("--cases", type=int, default=1000, help="for each backend")
    parser.add_argument("--backend", action="append", choices=BACKENDS, help="repeatable; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--method", action="append", choices=list(Method), help="repeatable; default: all")
    parser.add_argument("--dtype", action="append", choices=list(DType), help="repeatable; default: all")
    parser.add_argument(
        "--convention", action="append", metavar="KEY=VALUE", help="repeatable, one at a time; or all"
    )
    parser.add_argument("--record", action="store_true", help=f"add to {RECORD.name}")
    arguments = parser.parse_args()
    wanted = Wanted(
        methods=tuple(map(Method, arguments.method or Method)),
        dtypes=tuple(map(DType, arguments.dtype or ANY.dtypes)),
    )
    tallies: dict[Key, Tally] = {}
    accused: list[str] = []
    for backend in arguments.backend or BACKENDS:
        start = time.perf_counter()
        for each in each_convention(arguments.convention or [], wanted):
            survey(backend, arguments.cases, arguments.seed, tallies, accused, each)
            seconds = time.perf_counter() - start
            print(f"{backend} {each.name}: {arguments.cases} cases, {seconds:.0f} s", file=sys.stderr)
            if arguments.record:  # now: what follows may take hours
                _record(tallies, ", ".join(arguments.method or ["all"]))
    for (backend, name, dtype, output), tally in sorted(tallies.items()):
        counts = ", ".join(f"{count} {verdict}" for verdict, count in tally.verdicts.items())
        print(f"{backend:10}{name:30}{dtype:10}{output:13}{tally.ratio:10.3g}  {counts}; {tally.worst}")
    print(*accused, sep="\n")
    return 1 if any(line.startswith(Verdict.FAIL) for line in accused) else 0


if __name__ == "__main__":
    sys.exit(main())
