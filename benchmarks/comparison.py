"""Time normcheck's judge against torch.testing.assert_close on the same pair of 8 million float32 numbers.

    python benchmarks/comparison.py [ROUNDS]

The judge finds the largest absolute, relative and ULP difference, the backward error and the worst element;
assert_close says whether a tolerance holds. Both are warm and alternate. Peak memory is what the judge
allocates beyond its inputs, by tracemalloc, in a run of its own since tracing costs time.
"""

from __future__ import annotations

import statistics
import sys
import time
import tracemalloc
from functools import partial

import numpy as np
import torch

from normcheck.case import Method, Output
from normcheck.dtype import DType
from normcheck.judge.array import Bound, judge
from normcheck.methods import partition_of
from normcheck.oracle import Inputs, evaluate
from normcheck.oracle.rule import Rule
from normcheck.parameters import Params

SHAPE = (8, 64, 128, 128)
GROUPS = 8
ROUNDS = 15
MOST_TIME = 0.25
MOST_MIB = 64


def seconds(function: partial[object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print the ratio and the memory."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    x = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    own = partition_of(Method.GROUP, SHAPE, Params(num_groups=GROUPS))
    truth = evaluate(Inputs(x=x), [Output.Y], rule=Rule(eps=1e-5), partition=own, stats=DType.FLOAT32)[
        Output.Y
    ]
    y = torch.nn.functional.group_norm(torch.from_numpy(x), GROUPS, eps=1e-5)
    bound = Bound.for_sums_of(truth.n)
    judging = partial(judge, y.numpy(), truth, dtype=DType.FLOAT32, bound=bound, x=x)
    asserting = partial(torch.testing.assert_close, y, torch.from_numpy(truth.value.astype(np.float32)))

    pairs = [(seconds(judging), seconds(asserting)) for _ in range(rounds + 2)][2:]
    ours, theirs = zip(*pairs, strict=True)
    print(f"{y.numel():,} float32 numbers, {torch.get_num_threads()} threads for torch, {rounds} rounds")
    for name, times in (("judge", ours), ("assert_close", theirs)):
        print(f"{name:12} median {statistics.median(times) * 1000:5.0f} ms, min {min(times) * 1000:5.0f} ms")
    ratio = statistics.median(ours) / statistics.median(theirs)
    said = "reached" if ratio <= MOST_TIME else "MISSED"
    print(f"target: ratio at most {MOST_TIME}: median {ratio:.2f}, min {min(ours) / min(theirs):.2f}: {said}")

    tracemalloc.start()
    judging()
    mib = tracemalloc.get_traced_memory()[1] / 2**20
    print(
        f"target: peak memory within {MOST_MIB} MiB: {mib:.1f} MiB: {'reached' if mib <= MOST_MIB else 'MISSED'}"
    )


if __name__ == "__main__":
    main()
