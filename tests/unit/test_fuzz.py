"""A few of the files of `make fuzz`; and what it calls a finding is one."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import files

COUNT = 160


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    found = files.fuzz(COUNT, 1, tmp_path)
    assert COUNT == sum(found.values())
    assert {f"{suffix} {outcome}" for suffix in files.WRITERS for outcome in ("read", "refused")} == set(
        found
    )
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyError("x"), MemoryError(), RecursionError(), ValueError("two\nlines")])
def test_any_other_error_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(selection: object) -> None:
        raise error

    monkeypatch.setattr(files, "plan", broken)
    with pytest.raises(files.FindingError, match="file 0 of seed 1"):
        files.fuzz(1, 1, tmp_path)
    assert 1 == len(list(tmp_path.iterdir())), "the file is kept"


@pytest.mark.parametrize("words", ["", "two\nlines", "fixture x: malformed: KeyError: 'y'", 5000 * "long "])
def test_an_error_without_good_words_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    def broken(selection: object) -> None:
        raise files.NormcheckError(words)

    monkeypatch.setattr(files, "plan", broken)
    with pytest.raises(files.FindingError, match="not an error for users"):
        files.fuzz(1, 1, tmp_path)


def test_a_file_that_the_schema_does_not_know_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SCHEMA", files.Draft202012Validator({"required": ["absent"]}))
    with pytest.raises(files.FindingError, match="not valid by the schema"):
        files.fuzz(COUNT, 1, tmp_path)
