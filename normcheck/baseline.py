"""A baseline: the backward errors of one run, saved so that later runs fail where one has grown.

A file is hostile until it is read: strict JSON, no unknown key, no number that nothing could exceed.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from normcheck.case import Output
from normcheck.change import Change, Since, Trend
from normcheck.data import from_data, parse, to_data
from normcheck.errors import ConfigError, UsageError
from normcheck.fixtures.drawn import is_drawn
from normcheck.report import EXPECTED, Comparison, Report
from normcheck.verdict import Verdict

SCHEMA_VERSION = 1
FACTOR = 4.0  # by which a backward error may grow: another order of summation, another CPU
FLOOR = 2.0  # roundoffs: what is not above them is as good as exact, whatever it was

Errors = Mapping[str, Mapping[str, float]]  # by case and output


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The backward errors of a backend, and the version that it had."""

    version: str | None
    backward_error: Errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a file says; ``seed`` is that of the inputs that were drawn anew, None where there were none."""

    schema_version: int
    normcheck_version: str
    cpu: str
    seed: int | None
    backends: Mapping[str, Figures]


def render(report: Report) -> tuple[str, int]:
    """The content of a baseline of ``report``, and the number of its entries."""
    figures: dict[str, dict[str, dict[str, float]]] = {}
    found = list(_measured(report))
    for result, error in found:
        figures.setdefault(result.backend, {}).setdefault(result.case_id, {})[result.output.value] = error
    baseline = Baseline(
        schema_version=SCHEMA_VERSION,
        normcheck_version=report.normcheck_version,
        cpu=report.environment.cpu,
        seed=report.environment.seed,
        backends={
            name: Figures(version=version(report, name), backward_error=errors)
            for name, errors in figures.items()
        },
    )
    return json.dumps(to_data(baseline), indent=2, ensure_ascii=False, allow_nan=False) + "\n", len(found)


def read(path: Path) -> Baseline:
    """The baseline in the file ``path``; ConfigError where it is none."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no file")  # a FIFO would be waited for
        data = parse(path.read_bytes().decode())
        if isinstance(data, dict) and data.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
            found = data["schema_version"]
            raise ValueError(f"schema_version is {found!r:.80}; this normcheck reads {SCHEMA_VERSION}")
        baseline = from_data(Baseline, data)
        for name, figures in baseline.backends.items():
            _check(name, figures.backward_error)
    except FileNotFoundError:
        raise ConfigError(
            f"baseline {path}: no such file; make it with --save-baseline, from a run that you trust"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"baseline {path}: not readable as a baseline: {error}") from None
    return baseline


def _check(backend: str, errors: Errors) -> None:
    """ValueError for an output that there is none of, and for a figure that would never be exceeded."""
    for case, by_output in errors.items():
        for output, error in by_output.items():
            where = f"backends[{backend!r}].backward_error[{case!r}]"
            if output not in list(Output):
                raise ValueError(f"{where}: unknown output {output!r}; valid: {', '.join(Output)}")
            if not (math.isfinite(error) and error >= 0):
                raise ValueError(f"{where}: {output} is {error}; it must be a finite number from 0 on")


def check_factor(factor: float) -> None:
    """UsageError unless a backward error can grow by ``factor``."""
    if not (math.isfinite(factor) and factor >= 1):
        raise UsageError(f"--baseline-factor is {factor:g}; it must be a number from 1 on")


def applied(baseline: Baseline, file: str, factor: float, report: Report) -> Report:
    """``report`` beside ``baseline``: what is worse by more than ``factor`` fails it."""
    entries = {
        (name, case, output): error
        for name, figures in baseline.backends.items()
        for case, by_output in figures.backward_error.items()
        for output, error in by_output.items()
    }
    same_draw = baseline.seed == report.environment.seed
    changes: list[Change] = []
    compared, redrawn, new = 0, 0, Counter[str]()
    for result in report.results:
        was = entries.pop((result.backend, result.case_id, result.output.value), None)
        if result.backend == EXPECTED or result.known is not None:
            continue
        if not same_draw and is_drawn(result.case.fixture):
            redrawn += was is not None
        elif was is None:
            new[result.backend] += result.backward_error is not None
        elif result.backward_error is not None or result.verdict is Verdict.UNSUPPORTED:
            compared += 1
            changes += _changes(result, was, factor)
    names = dict.fromkeys(change.backend for change in changes)
    since = Since(
        file=file,
        factor=factor,
        cpu=baseline.cpu,
        versions={name: (baseline.backends[name].version, version(report, name)) for name in names},
        compared=compared,
        new=+new,
        redrawn=redrawn,
        not_run=len(entries),
        changes=tuple(sorted(changes, key=_order)),
    )
    return replace(report, baseline=since)


def _changes(result: Comparison, was: float, factor: float) -> Iterator[Change]:
    now = result.backward_error
    if now is None:
        trend = Trend.LOST
    elif not now <= max(FLOOR, factor * was):  # NaN is worse than any number
        trend = Trend.WORSE
    elif was > max(FLOOR, factor * now):
        trend = Trend.BETTER
    else:
        return
    yield Change(
        case=result.case_id, backend=result.backend, output=result.output, trend=trend, was=was, now=now
    )


def _order(change: Change) -> tuple[int, float]:
    """The worst first: by how much it grew."""
    now = math.inf if change.now is None or math.isnan(change.now) else change.now
    return list(Trend).index(change.trend), -now / max(change.was, 1.0)


def _measured(report: Report) -> Iterator[tuple[Comparison, float]]:
    """The comparisons that have a backward error; what is not finite could never be exceeded."""
    for result in report.results:
        error = result.backward_error
        if result.backend != EXPECTED and error is not None and math.isfinite(error):
            yield result, error


def version(report: Report, backend: str) -> str | None:
    """The version that a backend states: text, and not more of it than a version has."""
    found = report.environment.backends.get(backend, {}).get("version")
    return found[:80] if isinstance(found, str) else None
