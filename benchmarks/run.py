"""Time the commands side by side with what one would run instead, alternating, in one run.

    python benchmarks/run.py [ROUNDS]

Every command is a fresh process; times are seconds of wall time from its start to its end. Ratios are of
medians and of minima: on a busy machine the minima say more. Targets that are missed are marked, but the
exit code stays 0: a benchmark informs, a shared machine is no judge.

Both sides run group norm over the core fixtures, forward and backward, and forward alone. normcheck keeps
what JAX compiled for its next run, so both sides are timed twice: without anything kept ("first run"), and
with JAX's cache filled, which the handwritten script is then given too. Like is compared with like.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
PYTHON = [sys.executable]
NORMCHECK = [str(Path(sys.executable).with_name("normcheck"))]
ROUNDS = 7
MOST_MS = 120

QUICK = {
    "python -c pass": [*PYTHON, "-c", "pass"],
    "normcheck --help": [*NORMCHECK, "--help"],
    "normcheck backends --help": [*NORMCHECK, "backends", "--help"],
    "normcheck fixtures": [*NORMCHECK, "fixtures"],
}
COMPARE = [*NORMCHECK, "compare", "--method", "group"]
BY_HAND = [*PYTHON, str(HERE / "handwritten.py"), "--method", "group"]
FIRST, AGAIN = ", first run", ", again"
SLOW = {"import torch": [*PYTHON, "-c", "import torch"]}
for when in (FIRST, AGAIN):
    SLOW[f"by hand{when}"] = [*BY_HAND, "--gradients"]
    SLOW[f"normcheck{when}"] = COMPARE
    SLOW[f"by hand, forward{when}"] = BY_HAND
    SLOW[f"normcheck, forward{when}"] = [*COMPARE, "--no-gradients"]
TARGETS = {  # of what is compared to, the first time, when JAX compiles, and later
    FIRST: (("by hand{what}{when}", 0.75),),
    AGAIN: (("by hand{what}{when}", 0.65), ("import torch", 1.3)),
}
RATIOS = tuple(  # ours, the other, the target
    (f"normcheck{what}{when}", other.format(what=what, when=when), most)
    for when, targets in TARGETS.items()
    for what in ("", ", forward")
    for other, most in targets
)

Times = dict[str, list[float]]


def caching(directory: str) -> dict[str, str]:
    """The environment in which normcheck, and JAX in the handwritten script, keep what they compile."""
    thresholds = {
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    return {**os.environ, **thresholds, "JAX_COMPILATION_CACHE_DIR": directory}


def measure(commands: dict[str, list[str]], rounds: int, kept: str) -> Times:
    """Seconds of each command in each round; a command that fails is reported and has no times.

    ``kept`` is a directory for what is compiled, but for first runs.
    """
    times: Times = {name: [] for name in commands}
    for number in range(rounds + 1):  # the first round only fills caches
        for name in list(times):
            with tempfile.TemporaryDirectory() as empty:
                environment = caching(empty if name.endswith(FIRST) else kept)
                start = time.perf_counter()
                ended = subprocess.run(commands[name], capture_output=True, check=False, env=environment)
                seconds = time.perf_counter() - start
            if ended.returncode:
                print(f"{name}: failed with exit code {ended.returncode}\n{ended.stderr.decode()}")
                del times[name]
            elif number:
                times[name].append(seconds)
    return times


def show(times: Times) -> None:
    """Print the median and the minimum of each command, in milliseconds."""
    print(f"{'':28} {'median':>9} {'min':>9}")
    for name, seconds in times.items():
        print(f"{name:28} {statistics.median(seconds) * 1000:6.0f} ms {min(seconds) * 1000:6.0f} ms")


def mark(reached: bool) -> str:
    """The word for a target."""
    return "reached" if reached else "MISSED"


def main() -> None:
    """Measure, print, and say which targets are missed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as kept:
        quick = measure(QUICK, rounds, kept)
        slow = measure(SLOW, rounds, kept)
    show(quick)
    for name, seconds in quick.items():
        if name.startswith("normcheck"):
            reached = statistics.median(seconds) * 1000 <= MOST_MS
            print(f"target: {name} within {MOST_MS} ms: {mark(reached)}")
    print()
    show(slow)
    for ours, other, most in RATIOS:
        if ours in slow and other in slow:
            median = statistics.median(slow[ours]) / statistics.median(slow[other])
            least = min(slow[ours]) / min(slow[other])
            reached = mark(median <= most)
            print(f"target: {ours} / {other} at most {most}: median {median:.2f}, min {least:.2f}: {reached}")


if __name__ == "__main__":
    main()
