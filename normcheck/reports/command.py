"""The command that reproduces one comparison."""

from __future__ import annotations

import shlex

from normcheck.case import Case, Mode
from normcheck.fixtures import SUFFIXES
from normcheck.fixtures.drawn import is_drawn
from normcheck.fixtures.fixture import USUAL
from normcheck.methods import definition
from normcheck.parameters import OPTIONS
from normcheck.report import EXPECTED, Comparison, Report


def reproduce(result: Comparison, report: Report) -> str:
    """A command line, for a POSIX shell, that runs only the case of ``result`` on its backend."""
    case = result.case
    words = ["normcheck", "compare", "--method", case.method.value]
    words += ["--fixture", report.fixtures.get(case.fixture, case.fixture)]
    if result.backend in report.arguments:
        words += ["--backend", report.arguments[result.backend]]
    words += _of_case(case, says_dtype=_says_dtype(case, report))
    if report.environment.seed is not None and is_drawn(case.fixture):
        words += ["--seed", str(report.environment.seed)]
    if result.law:
        words.append("--laws")
    if report.max_backward_error is not None:
        words += ["--max-backward-error", repr(report.max_backward_error)]
    if report.repeat > 1:
        words += ["--repeat", str(report.repeat)]
    command = shlex.join(words)
    held = []  # what no argument of the command says
    if result.backend not in report.arguments and result.backend != EXPECTED:
        held.append(f"backends={{{result.backend!r}: …}}")
    if _is_in_memory(case, report):
        held.append(f"fixtures={{{case.fixture!r}: …}}")
    return f"{command}  # in Python, with {' and '.join(held)}" if held else command


def _is_in_memory(case: Case, report: Report) -> bool:
    """True where the caller had the arrays: no argument names them."""
    return case.fixture not in report.fixtures


def _says_dtype(case: Case, report: Report) -> bool:
    """False where the dtype is the one that the case has without ``--dtype``."""
    argument = report.fixtures.get(case.fixture, case.fixture)
    return case.fixture not in report.as_stored and (case.dtype is not USUAL or argument.endswith(SUFFIXES))


def _of_case(case: Case, *, says_dtype: bool) -> list[str]:
    """The options that set the case apart from others of its method and fixture."""
    words: list[str] = []
    if says_dtype:
        words += ["--dtype", case.dtype.value]
    if case.mode is not Mode.TRAIN:
        words += ["--mode", case.mode.value]
    own = definition(case.method).parameters
    for row in OPTIONS:
        value = getattr(case.params, row.name)
        if row.name in ("eps", *own) and value is not None and (row.splits or row.shown(value, case.shape)):
            words += [row.flag, row.kind.spell(value)]
    for option in case.convention.options:
        words += ["--convention", option]
    if not any(output.is_gradient for output in case.outputs):
        words += ["--no-gradients"]
    return words
