"""Measure how much normcheck notices, print the rates, and write docs/power.md: ``make power``.

    python tests/mutants/power.py --method rms

measures one method, prints its rates, and leaves the page alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from broken import MUTANTS
from honest import HONEST
from measuring import Outcome, batches, run, survivors
from page import render
from registry import DTYPES, METHODS, Implementation, Mutant

PAGE = Path(__file__).parents[2] / "docs" / "power.md"


def measure(methods: Collection[str], dtypes: Collection[str]) -> list[Outcome]:
    """The outcomes of the whole corpus in ``methods`` and ``dtypes``; says on stderr how far it is."""
    found: list[Outcome] = []
    everything = batches((*MUTANTS, *HONEST), lambda one: tuple(d for d in one.dtypes if d in dtypes))
    narrowed = (replace(b, methods=tuple(m for m in b.methods if m in methods)) for b in everything)
    todo = [batch for batch in narrowed if batch.methods and batch.dtypes]
    start = time.monotonic()
    for number, batch in enumerate(todo, start=1):
        found += run(batch)
        print(f"\r{number} of {len(todo)} runs, {time.monotonic() - start:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)
    order = {one: place for place, one in enumerate((*MUTANTS, *HONEST))}
    return sorted(found, key=lambda outcome: order[outcome.implementation])


def surprises(one: Implementation, outcomes: list[Outcome]) -> list[str]:
    """What is not as the registry says."""
    mine = [outcome for outcome in outcomes if outcome.implementation == one]
    if not isinstance(one, Mutant):
        return [f"{one.name} is accused: {o.method} {o.dtype} {o.complaint}" for o in mine if o.accused]
    alive = survivors(one, mine)
    if one.survives is not None:
        return [] if alive else [f"{one.name} is killed now: remove its 'survives'"]
    return [f"{one.name} survives: {', '.join(alive)}"] if alive else []


def main() -> int:
    parser = argparse.ArgumentParser(description="How much does normcheck notice?")
    parser.add_argument("--method", action="append", choices=METHODS, help="repeatable; default: all")
    parser.add_argument("--dtype", action="append", choices=DTYPES, help="repeatable; default: all")
    chosen = parser.parse_args()
    methods = chosen.method or METHODS
    outcomes = measure(methods, chosen.dtype or DTYPES)
    text = render(outcomes)
    if set(methods) == set(METHODS):
        PAGE.write_text(text, encoding="utf-8")
    print(text.partition("## What each fixture")[0])
    found = [line for one in (*MUTANTS, *HONEST) for line in surprises(one, outcomes)]
    print("\n".join(found) or "everything is as the registry says")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
