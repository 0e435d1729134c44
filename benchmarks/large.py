"""Time and measure large arrays against a script written by hand with a float64 reference, alternating.

    python benchmarks/large.py [--millions 20] [--rounds 3] [--dtype float32] [--gradients]

Both sides judge layer norm in NumPy and in PyTorch on the same .npy file. By hand that is a reference in float64
and ``torch.testing.assert_close`` for each; normcheck adds the condition numbers, the canaries, a second call of each
backend and the difference between the two. Every command is a fresh process; peak memory is that of the largest
process, in MiB. Targets that are missed are marked, but the exit code stays 0: a shared machine is no judge.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

MOST = {False: 0.6, True: 2.5}  # of the script by hand; with gradients, of the forward run
MOST_MIB = 900
COLUMNS = 4096

BY_HAND = """
import sys
import numpy as np
import torch

def norm(x, eps=1e-5):
    deviation = x - x.mean(-1, keepdims=True)
    return deviation / np.sqrt((deviation * deviation).mean(-1, keepdims=True) + eps)

dtype = getattr(torch, sys.argv[2])
x = torch.from_numpy(np.load(sys.argv[1])).to(dtype)
wide = x.float().numpy()
expected = torch.from_numpy(norm(x.double().numpy()))
with_numpy = torch.from_numpy(norm(wide)).to(dtype)
with_torch = torch.nn.functional.layer_norm(x, x.shape[-1:])
tolerance = dict(rtol=1e-4, atol=1e-5) if dtype is torch.float32 else dict(rtol=1e-2, atol=1e-2)
for found in (with_numpy, with_torch):
    torch.testing.assert_close(found.double(), expected, **tolerance)
"""


def run(command: list[str]) -> tuple[float, float]:
    """Seconds of wall time, and MiB of the largest process."""
    start = time.perf_counter()
    # an installed package has its bytecode: a shell that has none written would have all of it compiled again
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)  # of the process and of those that it waited for
        seconds = time.perf_counter() - start
        if os.waitstatus_to_exitcode(status):
            printed.seek(0)
            sys.exit(f"failed: {' '.join(command)}\n{printed.read().decode()}")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return seconds, usage.ru_maxrss / unit


def main() -> None:
    """Measure, print, and say which targets are missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"])
    parser.add_argument("--gradients", action="store_true", help="measure a run with gradients too")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "x.npy")
        rows = round(chosen.millions * 1e6 / COLUMNS)
        np.save(path, np.random.default_rng(0).standard_normal((rows, COLUMNS), dtype=np.float32))
        compare = [str(Path(sys.executable).with_name("normcheck")), "compare", "--no-config"]
        compare += ["--method", "layer", "--normalized-ndim", "1", "--fixture", str(path)]
        compare += ["--backend", "torch", "--backend", "numpy", "--dtype", chosen.dtype, "--timeout", "600"]
        commands = {
            "by hand": [sys.executable, "-c", BY_HAND, str(path), chosen.dtype],
            "normcheck": [*compare, "--no-gradients"],
        }
        if chosen.gradients:
            commands["with gradients"] = compare
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for number in range(chosen.rounds + 1):  # the first round only fills caches
            for name, command in commands.items():
                measured = run(command)
                found[name] += [measured] if number else []
    print(f"layer norm of {rows * COLUMNS:,} {chosen.dtype} numbers, forward, {chosen.rounds} rounds")
    print(f"{'':16} {'median':>8} {'min':>8} {'memory':>10}")
    median = {name: statistics.median(seconds for seconds, _ in times) for name, times in found.items()}
    least = {name: min(seconds for seconds, _ in times) for name, times in found.items()}
    memory = {name: max(mib for _, mib in times) for name, times in found.items()}
    for name in found:
        print(f"{name:16} {median[name]:6.2f} s {least[name]:6.2f} s {memory[name]:6.0f} MiB")
    show("normcheck", "by hand", MOST[False], median, least)
    if chosen.gradients:
        show("with gradients", "normcheck", MOST[True], median, least)
    if chosen.millions == 20:
        for name in ("normcheck", "with gradients"):
            if name in memory:
                reached = mark(memory[name] <= MOST_MIB)
                print(f"target: no process of {name!r} above {MOST_MIB} MiB: {reached}")


def show(ours: str, other: str, most: float, median: dict[str, float], least: dict[str, float]) -> None:
    """Print a ratio and whether it is within its target."""
    ratio = median[ours] / median[other]
    print(
        f"target: {ours} / {other} at most {most}: median {ratio:.2f}, "
        f"min {least[ours] / least[other]:.2f}: {mark(ratio <= most)}"
    )


def mark(reached: bool) -> str:
    """The word for a target."""
    return "reached" if reached else "MISSED"


if __name__ == "__main__":
    main()
