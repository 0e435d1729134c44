"""A baseline: what has grown fails, what it cannot say is no pass, and a file is hostile until it is read."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Completed, refused
from test_reports import CASE, CRASHED, FAILED, PASSED, judged, report

from normcheck.baseline import FACTOR, FLOOR, applied, read, render
from normcheck.change import Since, Trend
from normcheck.errors import ConfigError, ExitCode
from normcheck.report import EXPECTED, Comparison, Known, Report
from normcheck.reports import render as rendered
from normcheck.reports.json import read as read_report
from normcheck.verdict import Verdict

Run = Callable[..., Completed]
UNSUPPORTED = judged(CRASHED, verdict=Verdict.UNSUPPORTED, reason="no longer")


def saved(found: Report, path: Path) -> Path:
    path.write_text(render(found)[0])
    return path


def beside(now: Report, path: Path, factor: float = FACTOR) -> Report:
    return applied(read(path), str(path), factor, now)


def with_error(error: float, result: Comparison = PASSED) -> Comparison:
    return judged(result, backward_error=error)


@pytest.fixture
def held(tmp_path: Path) -> Callable[..., Since]:
    def held(was: float, now: float, factor: float = FACTOR) -> Since:
        path = saved(report(with_error(was)), tmp_path / "b.json")
        found = beside(report(with_error(now)), path, factor).baseline
        assert found is not None
        return found

    return held


# --- what has changed --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        (2.1, 9.4, [Trend.WORSE]),
        (2.1, 8.4, []),  # 4 times is not more than 4 times
        (0.1, FLOOR, []),  # above 4 times, and as good as exact
        (0.1, 2.01, [Trend.WORSE]),
        (0.0, 2.01, [Trend.WORSE]),
        (9.4, 2.1, [Trend.BETTER]),
        (2.0, 0.1, []),
        (5.0, 5.0, []),
        (5.0, math.inf, [Trend.WORSE]),
        (5.0, math.nan, [Trend.WORSE]),
    ],
)
def test_more_than_four_times_what_it_was_and_above_two(
    held: Callable[..., Since], was: float, now: float, expected: list[Trend]
) -> None:
    assert expected == [change.trend for change in held(was, now).changes]


def test_the_factor_is_the_users(held: Callable[..., Since]) -> None:
    assert [] == list(held(2.0, 9.0, factor=5.0).changes)
    assert [Trend.WORSE] == [change.trend for change in held(2.0, 3.0, factor=1.0).changes]


def test_the_same_run_has_no_changes_and_passes(tmp_path: Path) -> None:
    found = report(PASSED, replace(FAILED, backend="numpy2"))
    again = beside(report(PASSED), saved(found, tmp_path / "b.json"))
    assert again.baseline is not None
    assert (1, (), ExitCode.OK, Verdict.PASS) == (
        again.baseline.compared,
        again.baseline.changes,
        again.exit_code,
        again.verdict,
    )


def test_a_run_that_only_grew_fails(tmp_path: Path) -> None:
    now = beside(report(with_error(9.4)), saved(report(with_error(2.1)), tmp_path / "b.json"))
    assert (ExitCode.MISMATCH, Verdict.FAIL) == (now.exit_code, now.verdict)
    text = rendered(now, "table")
    assert f"✗ WORSE  numpy · {CASE.id} · y: was 2.10 u, now 9.40 u: numpy 1, as then" in text
    assert "✗ fail  1 case, 1 comparison: 1 pass, 1 worse than the baseline" in text


def test_what_became_unsupported_is_lost_and_fails(tmp_path: Path) -> None:
    before = saved(report(replace(PASSED, backend="gone"), PASSED), tmp_path / "b.json")
    elsewhere = replace(PASSED, backend="gone", case=replace(CASE, fixture="g"))
    now = beside(report(UNSUPPORTED, PASSED, elsewhere), before)
    assert now.baseline is not None
    assert [Trend.LOST] == [change.trend for change in now.baseline.changes]
    assert ExitCode.MISMATCH is now.exit_code
    assert "was 0.50 u, now unsupported" in rendered(now, "table")


def test_a_crash_is_no_growth(tmp_path: Path) -> None:
    before = saved(report(replace(PASSED, backend="gone"), PASSED), tmp_path / "b.json")
    assert ExitCode.BACKEND is beside(report(CRASHED, PASSED), before).exit_code


def test_what_the_ledger_knows_does_not_fail(tmp_path: Path) -> None:
    before = saved(report(PASSED, with_error(30.0, FAILED)), tmp_path / "b.json")
    known = replace(with_error(900.0, FAILED), known=Known(reason="r"))
    assert ExitCode.OK is beside(report(PASSED, known), before).exit_code
    assert ExitCode.MISMATCH is beside(report(PASSED, replace(known, known=None)), before).exit_code


def test_nothing_in_common_is_no_pass(tmp_path: Path) -> None:
    before = saved(report(replace(PASSED, backend="other")), tmp_path / "b.json")
    now = beside(report(PASSED), before)
    assert now.baseline is not None
    assert (0, {"numpy": 1}, 1) == (now.baseline.compared, now.baseline.new, now.baseline.not_run)
    assert (ExitCode.NOTHING_COMPARED, Verdict.ERROR) == (now.exit_code, now.verdict)
    text = rendered(now, "table")
    assert "nothing was compared with the baseline" in text
    assert "1 of numpy not in it; 1 entry not run" in text


def test_numbers_of_another_seed_are_not_the_same_question(tmp_path: Path) -> None:
    drawn = replace(PASSED, case=replace(CASE, fixture="drawn"))

    def seeded(seed: int, error: float) -> Report:
        found = report(PASSED, with_error(error, drawn))
        return replace(found, environment=replace(found.environment, seed=seed))

    before = saved(seeded(1, 0.5), tmp_path / "b.json")
    for seed, expected in ((2, (1, 1, ExitCode.OK)), (1, (2, 0, ExitCode.MISMATCH))):
        now = beside(seeded(seed, 12.0), before)
        assert now.baseline is not None
        assert expected == (now.baseline.compared, now.baseline.redrawn, now.exit_code)


def test_expected_values_are_no_backend(tmp_path: Path) -> None:
    assert 0 == render(report(replace(PASSED, backend=EXPECTED)))[1]


def test_a_version_that_changed_is_named_by_its_host(tmp_path: Path) -> None:
    def of_version(version: str, error: float) -> Report:
        found = report(
            with_error(error, replace(PASSED, backend="mine")), arguments={"mine": "mine=torch:n.py:f"}
        )
        environment = replace(found.environment, backends={"mine": {"version": version}})
        return replace(found, environment=environment)

    now = beside(of_version("2.13", 9.4), saved(of_version("2.12", 2.1), tmp_path / "b.json"))
    assert "was 2.10 u, now 9.40 u: torch 2.12 → 2.13" in rendered(now, "table")
    elsewhere = replace(now, environment=replace(now.environment, cpu="another"))
    assert "torch 2.12 → 2.13" in rendered(elsewhere, "table")
    same = beside(of_version("2.12", 9.4), saved(of_version("2.12", 2.1), tmp_path / "b.json"))
    moved = replace(same, environment=replace(same.environment, cpu="another"))
    assert "torch 2.12, as then; on another CPU, cpu" in rendered(moved, "table")


def test_a_report_beside_a_baseline_is_read_back(parsed: Any, tmp_path: Path) -> None:
    now = beside(report(with_error(9.4)), saved(report(with_error(2.1)), tmp_path / "b.json"))
    now = replace(now, pairs=())
    text = rendered(now, "json")
    assert "worse" == parsed(text)["baseline"]["changes"][0]["trend"]
    assert now == read_report(text)


# --- files -------------------------------------------------------------------------------------------------


def test_a_baseline_has_one_figure_for_each_output_of_each_backend_in_each_case() -> None:
    text, count = render(
        report(PASSED, judged(FAILED, backward_error=math.nan), CRASHED, with_error(30.0, FAILED))
    )
    data = json.loads(text)
    assert 2 == count
    assert {"version": "1", "backward_error": {CASE.id: {"y": 0.5}}} == data["backends"]["numpy"]
    assert ["numpy", "bad"] == list(data["backends"]), "no figure that nothing could exceed"


GOOD = json.loads(render(report(PASSED))[0])


def spoiled(**changes: Any) -> str:
    return json.dumps({**GOOD, **changes})


def figures(**by_output: Any) -> str:
    return spoiled(backends={"numpy": {"version": "1", "backward_error": {CASE.id: by_output}}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value"),
        ("[]", "is not an object"),
        ("[" * 100_000, "nested too deeply"),
        (spoiled(schema_version=2), "schema_version is 2; this normcheck reads 1"),
        (spoiled(surprise=1), "unknown key 'surprise'"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "seed"}), "the key 'seed' is missing"),
        (spoiled(seed="1"), "seed"),
        (spoiled(backends=[]), "is not an object"),
        (figures(y="inf"), "it must be a finite number from 0 on"),
        (figures(y="nan"), "it must be a finite number from 0 on"),
        (figures(y=-1), "it must be a finite number from 0 on"),
        (figures(y=True), "True is not a number"),
        (figures(y=None), "None is not a number"),
        (figures(z=1.0), "unknown output 'z'; valid: y, grad_x"),
        (figures(y=1.0).replace("1.0", "NaN"), "NaN is not JSON"),
        (figures(y=1.0).replace("1.0", "1e999"), "beyond the range"),
        (figures(y=1.0).replace('"y": 1.0', '"y": 1.0, "y": 2.0'), "there twice"),
        (b"\xff", "can't decode"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_file_that_is_no_baseline_says_so(text: str | bytes, message: str, tmp_path: Path) -> None:
    (path := tmp_path / "b.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=r"b\.json: not readable as a baseline: ") as caught:
        read(path)
    assert message in str(caught.value)
    path.write_text(json.dumps(GOOD))
    read(path)


@settings(deadline=None)
@given(st.data())
def test_a_damaged_file_is_an_error_of_the_file(data: st.DataObject) -> None:
    """Whatever bytes are other ones."""
    content = bytearray(json.dumps(GOOD).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=6))
        content = content or bytearray(b" ")
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder) / "b.json").write_bytes(content)
        try:
            found = read(path)
        except ConfigError:
            return
        for figures in found.backends.values():
            errors = [e for by_output in figures.backward_error.values() for e in by_output.values()]
            assert all(0 <= error < math.inf for error in errors)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "."):
        with pytest.raises(ConfigError, match="it is no file"):
            read(tmp_path / name)


# --- the command -------------------------------------------------------------------------------------------

QUICK = ["compare", "--method", "layer", "--fixture", "nc", "--no-gradients", "--backend", "numpy"]


def test_a_run_is_compared_with_what_another_one_saved(invoke: Run, tmp_path: Path, parsed: Any) -> None:
    done = invoke(*QUICK, "--save-baseline", "b.json")
    assert (0, "b.json: 1 backward error saved\n") == (done.returncode, done.stderr)
    assert 0 == invoke(*QUICK, "--baseline", "b.json").returncode
    (tmp_path / "norm.py").write_text(
        "def norm(x, weight, bias, *, eps):\n"
        "    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)\n"
        "    y = (x - mean) / (var + eps) ** 0.5 * (1 + FAULT)\n"
        "    return y * weight + bias\nFAULT = 0.0\n"
    )
    mine = [*QUICK[:-1], "mine=numpy:norm.py:norm"]
    assert 0 == invoke(*mine, "--save-baseline", "b.json").returncode
    source = (tmp_path / "norm.py").read_text()
    (tmp_path / "norm.py").write_text(source.replace("FAULT = 0.0", "FAULT = 1e-6"))
    found = parsed(invoke(*mine, "--format", "json").stdout)
    assert "pass" == found["summary"]["verdict"], "within the bound"
    done = invoke(*mine, "--baseline", "b.json", "--save-baseline", "next.json")
    assert 1 == done.returncode
    assert "next.json: 1 backward error saved, of a run that did not pass\n" == done.stderr
    assert "✗ WORSE  mine · layer/nc/float32 · y: was " in done.stdout
    assert 0 == invoke(*mine, "--baseline", "b.json", "--baseline-factor", "100").returncode
    done = invoke(*QUICK, "--baseline", "b.json")
    assert 5 == done.returncode
    assert "nothing was compared with the baseline b.json" in done.stdout


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--baseline", "none.json"], 3, "no such file; make it with --save-baseline"),
        (["--baseline", "bad.json"], 3, "baseline bad.json: not readable as a baseline"),
        (["--baseline-factor", "3"], 2, "name one, --baseline FILE"),
        (["--baseline", "b.json", "--baseline-factor", "0.5"], 2, "must be a number from 1 on"),
        (["--baseline", "b.json", "--baseline-factor", "nan"], 2, "must be a number from 1 on"),
        (["--baseline", "b.json", "--save-baseline", "./b.json"], 2, "are one file"),
        (["--save-baseline", "r.json", "--report", "json=r.json"], 2, "two outputs go to one file"),
        (["--save-baseline", "no/such/b.json"], 3, "there is no directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_said_before_the_run(
    invoke: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.setattr("normcheck.run.session.run", None)
    (tmp_path / "b.json").write_text(json.dumps(GOOD))
    (tmp_path / "bad.json").write_text("{}")
    assert message in refused(invoke(*QUICK, *options), code)


def test_a_run_without_figures_saves_nothing(invoke: Run, tmp_path: Path) -> None:
    (tmp_path / "norm.py").write_text("def norm(x): raise NotImplementedError\n")
    done = invoke(*QUICK[:-1], "mine=numpy:norm.py:norm", "--save-baseline", "b.json")
    assert "b.json: not written: no result of this run has a backward error" in done.stderr
    assert not (tmp_path / "b.json").exists()
