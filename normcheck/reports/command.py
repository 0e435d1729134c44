"""The command that reproduces one comparison."""

from __future__ import annotations

import shlex

from normcheck.case import DEFAULT_EPS, DEFAULT_MOMENTUM, Case, Method, Mode, format_groups
from normcheck.dtype import DType
from normcheck.report import EXPECTED, Comparison, Report


def reproduce(result: Comparison, report: Report) -> str:
    """A command line, for a POSIX shell, that runs only the case of ``result`` on its backend."""
    case = result.case
    words = ["normcheck", "compare", "--method", case.method.value]
    words += ["--fixture", report.fixtures.get(case.fixture, case.fixture)]
    if result.backend in report.arguments:
        words += ["--backend", report.arguments[result.backend]]
    words += _of_case(case)
    if result.law:
        words.append("--laws")
    if report.max_backward_error is not None:
        words += ["--max-backward-error", repr(report.max_backward_error)]
    command = shlex.join(words)
    if result.backend in report.arguments or result.backend == EXPECTED:
        return command
    return f"{command}  # in Python, with backends={{{result.backend!r}: …}}"


def _of_case(case: Case) -> list[str]:
    """The options that set the case apart from others of its method and fixture."""
    params = case.params
    words: list[str] = []
    if case.dtype is not DType.FLOAT32:
        words += ["--dtype", case.dtype.value]
    if case.mode is not Mode.TRAIN:
        words += ["--mode", case.mode.value]
    if params.eps != DEFAULT_EPS:
        words += ["--eps", repr(params.eps)]
    if params.groups is not None:
        words += ["--groups", format_groups(params.groups)]
    if params.num_groups is not None:
        words += ["--num-groups", str(params.num_groups)]
    if params.normalized_ndim is not None:
        words += ["--normalized-ndim", str(params.normalized_ndim)]
    if params.momentum not in (None, DEFAULT_MOMENTUM):
        words += ["--momentum", repr(params.momentum)]
    if not any(output.is_gradient for output in case.outputs):
        words += ["--no-gradients"]
    if params.channel_axis != 1 and case.method is not Method.LAYER:
        words += ["--channel-axis", str(params.channel_axis)]
    return words
