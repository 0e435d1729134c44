"""A few hundred cases of :mod:`false_alarms` a run: no honest backend is accused. 10,000 take its command line."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from false_alarms import JAX_EAGER, Key, Tally, computed, draw, judged, survey

from normcheck.verdict import Verdict

CASES = {"numpy": 300, "torch": 300, "jax": 25, JAX_EAGER: 15}  # JAX compiles for nearly every case


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # float16 overflows, as it should
@pytest.mark.parametrize("backend", CASES)
def test_no_honest_backend_is_accused(backend: str, requires: Callable[[str], None]) -> None:
    requires(backend.split(maxsplit=1)[0])
    tallies: dict[Key, Tally] = {}
    accused: list[str] = []
    survey(backend, CASES[backend], seed=1000, tallies=tallies, accused=accused)
    assert [line for line in accused if line.startswith(Verdict.FAIL)] == []
    assert sum(tally.verdicts[Verdict.PASS] for tally in tallies.values()) > CASES[backend]


def test_a_seed_draws_the_same_case_again_and_what_is_wrong_in_it_fails() -> None:
    seed = next(
        n for n in count() if (case := draw(n, "numpy")).kind == "normal" and case.case.dtype == "float32"
    )
    drawn = draw(seed, "numpy")
    found, again = computed("numpy", drawn), computed("numpy", draw(seed, "numpy"))
    assert found is not None
    assert again is not None
    assert {name: array.tobytes() for name, array in found.items()} == {
        n: a.tobytes() for n, a in again.items()
    }
    assert {judgement.verdict for _, judgement in judged(drawn, found)} == {Verdict.PASS}
    wrong = {name: array + abs(array).max() / 100 for name, array in found.items()}
    assert {judgement.verdict for _, judgement in judged(drawn, wrong)} == {Verdict.FAIL}
