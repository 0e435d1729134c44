"""A few of the frames of `make fuzz`: whatever a worker sends is an answer, or the protocol's own error."""

from __future__ import annotations

from collections import Counter

import pytest
from fuzz import frames as fuzz

from normcheck.run import client
from normcheck.run.sources import Question

QUESTION = Question.of(fuzz.CASE, fuzz.INPUTS)
STARTED = fuzz.framed(fuzz.READY)


def test_mutated_frames_are_answers_or_errors_of_the_protocol() -> None:
    found = Counter(fuzz.outcomes(150, seed=1))
    assert 150 == sum(found.values())
    assert {"error", "crash"} <= set(found)


@pytest.mark.parametrize(
    ("frame", "heard"), [*zip(fuzz.WHOLE[2:5], ["outputs", "outputs", "error"], strict=True)], ids=range(3)
)
def test_the_frames_that_are_mutated_are_good_ones(frame: bytes, heard: str) -> None:
    assert heard == fuzz.heard(STARTED + frame, QUESTION, None)


def test_any_other_error_is_seen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object) -> None:
        raise OverflowError("too large")

    monkeypatch.setattr(client.frames, "receive", broken)
    with pytest.raises(OverflowError):
        list(fuzz.outcomes(1, seed=1))
    assert "frame 0 of seed 1" in capsys.readouterr().err
