"""The command that reproduces one comparison."""

from __future__ import annotations

import shlex

from normcheck.case import DEFAULT_EPS, DEFAULT_MOMENTUM, Method, Mode, format_groups
from normcheck.dtype import DType
from normcheck.report import Comparison, Report


def reproduce(result: Comparison, report: Report) -> str:
    """A command line, for a POSIX shell, that runs only the case of ``result`` on its backend."""
    case, params = result.case, result.case.params
    given = report.fixtures.get(case.fixture, case.fixture)
    words = [
        "normcheck",
        "compare",
        "--method",
        case.method.value,
        "--fixture",
        given,
    ]
    if result.backend in report.arguments:
        words += ["--backend", report.arguments[result.backend]]
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
    if result.law:
        words.append("--laws")
    if report.max_backward_error is not None:
        words += ["--max-backward-error", repr(report.max_backward_error)]
    return shlex.join(words)
