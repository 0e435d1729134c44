"""The plugin for pytest, in a pytest of its own: marks, ids, reports, and what it says where something fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from normcheck.reports import json
from normcheck.testing import assert_parity

MODULE = """
import os
import numpy as np
import pytest
import normcheck.testing
from normcheck.testing import assert_parity


def layer_norm(x, weight, bias, *, eps, normalized_ndim):
    axes = tuple(range(x.ndim - normalized_ndim, x.ndim))
    wide = x.astype(np.float64)
    deviation = wide - wide.mean(axis=axes, keepdims=True)
    y = deviation / np.sqrt(np.square(deviation).mean(axis=axes, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias).astype(x.dtype)


def wrong(x, weight, bias, *, eps, normalized_ndim):
    return layer_norm(x, weight, bias, eps=2 * eps, normalized_ndim=normalized_ndim)


def dies(x, weight, bias, *, eps):
    os._exit(3)


HERE = dict(method="layer", fixtures=["nc"])
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project in which the plugin is installed, as it is by its entry point."""
    assert_parity(
        "numpy", method="layer", fixtures=["nc", "nchw"]
    )  # what is imported in there would be forgotten
    json.read(json.render(assert_parity("numpy", method="layer", fixtures=["nc"])))
    folder = pytester.path / "installed" / "normcheck_plugin-0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: normcheck-plugin\nVersion: 0\n")
    (folder / "entry_points.txt").write_text("[pytest11]\nnormcheck = normcheck.pytest_plugin\n")
    pytester.syspathinsert(folder.parent)
    paths = [str(folder.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))  # of processes
    pytester.makeini("[pytest]\naddopts = --strict-markers --strict-config\n")
    return pytester


def ran(project: pytest.Pytester, tests: str, *arguments: str) -> pytest.RunResult:
    """The tests below the functions of MODULE, run."""
    project.makepyfile(test_norm=MODULE + tests)
    return project.runpytest_inprocess("-rA", *arguments)


def test_a_failure_shows_the_paragraph_and_the_users_line_alone(project: pytest.Pytester) -> None:
    result = ran(project, "\ndef test_wrong():\n    assert_parity(wrong, **HERE)\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">*assert_parity(wrong, ??HERE)",
            "E*MismatchError: ✗ FAIL  wrong · layer/nc/float32 · y",
            "E*  y: backward error * exceeds the allowed *",
            "E*  worst at [[]*",
            "E*  reproduce: normcheck compare --method layer --fixture nc *",
            "FAILED test_norm.py::test_wrong - *MismatchError: ✗ FAIL *",
        ]
    )
    assert "parity.py" not in result.stdout.str()
    assert "session.py" not in result.stdout.str()


def test_a_test_for_each_case_is_named_by_its_id(project: pytest.Pytester) -> None:
    result = ran(
        project,
        """
@normcheck.testing.cases("layer", fixtures=["nchw", "nc"], dtypes=["float32", "float64"], normalized_ndim=1)
def test_layer_norm(case):
    case.assert_parity(layer_norm)
""",
    )
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [
            "PASSED test_norm.py::test_layer_norm[[]layer[[]normalized_ndim=1]/nchw/float32]",
            "PASSED test_norm.py::test_layer_norm[[]layer/nc/float64]",
        ]
    )
    one = project.runpytest_inprocess("-k", "nchw and float64")
    one.assert_outcomes(passed=1, deselected=3)


@pytest.mark.parametrize(
    ("decorator", "message"),
    [
        ('cases("layer", fixtures=[])', "*UsageError: fixtures is empty: there is nothing to compare*"),
        (
            'cases("group", num_groups=7)',
            "*ParameterError: fixture documents, group norm: 3 channels cannot*",
        ),
    ],
)
def test_no_case_is_an_error(project: pytest.Pytester, decorator: str, message: str) -> None:
    result = ran(project, f"\n@normcheck.testing.{decorator}\ndef test_norm(case):\n    pass\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])
    assert "normcheck/plan" not in result.stdout.str()


def test_a_known_mismatch_is_expected_and_one_that_is_gone_fails(project: pytest.Pytester) -> None:
    result = ran(
        project,
        """
@pytest.mark.normcheck(known="eps is 2·eps")
def test_known():
    assert_parity(wrong, **HERE)

@pytest.mark.normcheck(known="it was wrong once")
def test_stale():
    assert_parity(layer_norm, **HERE)

def raises(x):
    raise ValueError("no kernel")

@pytest.mark.normcheck(known="a mismatch, not an error")
def test_no_result():
    assert_parity(raises, method="layer", fixtures={"mine": np.ones((2, 3)).cumsum(1)})

@pytest.mark.normcheck(known="a mismatch, not a mistake")
def test_mistake():
    assert_parity(wrong, method="gruop")
""",
        "--normcheck-report=json=found.json",
    )
    result.assert_outcomes(xfailed=1, failed=3)
    (stale,) = json.read((project.path / "found.json").read_text()).stale
    assert stale.startswith("test_norm.py::test_stale: known to fail (it was wrong once), but it passes")
    result.stdout.fnmatch_lines(
        [
            "known to fail (it was wrong once), but it passes: remove known= from its mark normcheck",
            "E*VerdictError: ! ERROR  raises *",
            "E*UnknownNameError: unknown method 'gruop'*",
            "XFAIL test_norm.py::test_known - eps is 2·eps",
        ]
    )


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("normcheck(kown='why')", "says kown='why'"),
        ("normcheck(known='')", "says known=''"),
        ("normcheck(isolated='yes')", "says isolated='yes'"),
        ("normcheck('why')", "says 'why'"),
        ("normcheck", "says nothing"),
    ],
)
def test_a_mark_that_cannot_be_meant_ends_the_run(project: pytest.Pytester, mark: str, said: str) -> None:
    result = ran(project, f"\n@pytest.mark.{mark}\ndef test_norm():\n    pass\n")
    assert pytest.ExitCode.USAGE_ERROR is result.ret
    message = f"ERROR: test_norm.py::test_norm: the mark normcheck {said}; valid: known='why', isolated=True"
    result.stderr.fnmatch_lines([message])


def test_isolated_candidates_run_in_a_worker(project: pytest.Pytester) -> None:
    """Which finds them by their names, with the helpers beside the test and on pytest's own path."""
    project.mkdir("elsewhere").joinpath("helper.py").write_text("TWO = 2\n")
    project.makeini("[pytest]\npythonpath = elsewhere\n")
    result = ran(
        project,
        """
import helper

def twice(x, weight, bias, *, eps, normalized_ndim):
    return layer_norm(x, weight, bias, eps=helper.TWO * eps, normalized_ndim=normalized_ndim)

pytestmark = pytest.mark.normcheck(isolated=True)

def test_dies():
    assert_parity(dies, **HERE)

def test_twice():
    assert_parity(twice, **HERE)

def test_right():
    assert_parity(layer_norm, **HERE)

def test_lambda():
    assert_parity(lambda x: x, **HERE)
""",
    )
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(
        [
            "E*! CRASH  dies · layer/nc/float32",
            "E*  exited with code 3, computing, without an answer",
            "E*✗ FAIL  twice · layer/nc/float32 · y",
            "E*lambda cannot run isolated: a worker imports it by its name*",
        ]
    )


REPORTED = """
def test_right():
    assert_parity(layer_norm, **HERE)

def test_wrong():
    assert_parity(wrong, **HERE)

@pytest.mark.normcheck(known="eps is 2·eps")
def test_known():
    assert_parity(wrong, method="layer", fixtures=["nchw"])

@normcheck.testing.cases("layer", fixtures=["nchw", "drawn"])
def test_each(case):
    case.assert_parity(layer_norm)
"""


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["in one process", "under xdist"])
def test_what_all_tests_found_is_one_report(project: pytest.Pytester, workers: list[str]) -> None:
    project.makepyfile(test_norm=MODULE + REPORTED)
    arguments = ["-rA", "--normcheck-report", "json=found.json", "--normcheck-seed", "5", *workers]
    # xdist gives its workers the sys.path with which pytest was started
    result = (project.runpytest_subprocess if workers else project.runpytest_inprocess)(*arguments)
    result.assert_outcomes(passed=len(["right", "nchw", "nchw 1", "drawn"]), failed=1, xfailed=1)
    result.stdout.fnmatch_lines(["normcheck: fail; json written to found.json"])
    report = json.read((project.path / "found.json").read_text())
    assert {"layer_norm", "wrong"} == {found.backend for found in report.results}
    verdicts = {(found.backend, found.case.fixture): str(found.verdict) for found in report.results}
    assert "pass" == verdicts["layer_norm", "drawn"]
    assert "fail" == verdicts["wrong", "nc"]
    known = {found.known.reason for found in report.results if found.known is not None}
    assert {"eps is 2·eps"} == known
    assert 5 == report.environment.seed


def test_a_report_goes_to_the_terminal_or_to_several_files(project: pytest.Pytester) -> None:
    wanted = [f"--normcheck-report={each}" for each in ("table=-", "table=table.txt", "json=-")]
    result = ran(project, "\ndef test_right():\n    assert_parity(layer_norm, **HERE)\n", *wanted)
    result.assert_outcomes(passed=1)
    written = "normcheck: pass; table written to table.txt"
    result.stdout.fnmatch_lines(["layer norm  max*", "✓ pass  1 case, *", written])
    assert (project.path / "table.txt").read_text() in result.stdout.str()


def test_tests_that_failed_and_compared_nothing_are_named(project: pytest.Pytester) -> None:
    tests = (
        "\ndef test_right():\n    assert_parity(layer_norm, **HERE)\n\ndef test_other():\n    assert False\n"
    )
    ran(project, tests, "--normcheck-report=json=found.json").assert_outcomes(passed=1, failed=1)
    notes = json.read((project.path / "found.json").read_text()).notes
    assert "tests that failed, and compared nothing: test_norm.py::test_other" in notes


@pytest.mark.parametrize(
    "tests", ["\ndef test_nothing():\n    pass\n", "\n"], ids=["tests that compare nothing", "no tests"]
)
def test_a_report_of_nothing_fails(project: pytest.Pytester, tests: str) -> None:
    result = ran(project, tests, "--normcheck-report", "json=found.json")
    assert pytest.ExitCode.TESTS_FAILED is result.ret
    result.stdout.fnmatch_lines(["normcheck: no test compared anything, so no report was written"])
    assert not (project.path / "found.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--normcheck-report", "jsn=x"], "--normcheck-report: unknown format 'jsn'. Did you mean 'json'?*"),
        (["--normcheck-report", "json"], "--normcheck-report: 'json' says no file; write json=FILE*"),
        (["--normcheck-report", "json=no/such/x"], "--normcheck-report: cannot write no/such/x: *"),
        (["--normcheck-seed", "-1"], "--normcheck-seed is -1; valid: 0 to *"),
    ],
)
def test_what_cannot_be_reported_is_said_before_the_run(
    project: pytest.Pytester, arguments: list[str], message: str
) -> None:
    result = ran(project, "\ndef test_nothing():\n    pass\n", *arguments)
    assert pytest.ExitCode.USAGE_ERROR is result.ret
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_without_the_plugin_the_rest_works(project: pytest.Pytester) -> None:
    result = ran(
        project, "\ndef test_right():\n    assert_parity(layer_norm, **HERE)\n", "-p", "no:normcheck"
    )
    result.assert_outcomes(passed=1)
    assert "normcheck" not in project.runpytest_inprocess("-p", "no:normcheck", "--markers").stdout.str()
    project.runpytest_inprocess("--markers").stdout.fnmatch_lines(["@pytest.mark.normcheck(known=REASON,*"])


def test_the_plugin_costs_next_to_nothing(tmp_path: Path) -> None:
    code = "import sys, pytest; before = set(sys.modules); import normcheck.pytest_plugin; "
    code += "print(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    found = set(done.stdout.split())
    assert not {"numpy", "rich", "click", "cattrs"} & {name.partition(".")[0] for name in found}
    ours = {name for name in found if name.startswith("normcheck")}
    assert {
        "normcheck",
        "normcheck.pytest_plugin",
        "normcheck.testing",
        "normcheck.testing.surroundings",
    } == ours
