"""The public Python API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeVar

from normcheck.case import Method, Mode
from normcheck.config import read
from normcheck.conventions.catalogue import Convention, parse, spelled
from normcheck.dtype import DType
from normcheck.errors import UnknownNameError
from normcheck.ledger.read import NO_LEDGER, ledger_of
from normcheck.options import DEFAULT_TIMEOUT, Options
from normcheck.parameters import row_of
from normcheck.plan import Selection
from normcheck.report import Report
from normcheck.run.backends import BackendSpec, check_alias
from normcheck.run.session import run

Name = TypeVar("Name", Method, DType, Mode)


def compare(
    method: str | Iterable[str] | None = None,
    *,
    backends: Iterable[str] | Mapping[str, Any] = (),
    fixtures: Iterable[str | PathLike[str]] = (),
    dtype: str | Iterable[str] | None = None,
    mode: str | Iterable[str] = tuple(Mode),
    convention: str | Iterable[str] | Mapping[str, Any] = (),
    gradients: bool = True,
    max_backward_error: float | None = None,
    strict: bool = False,
    laws: bool = False,
    repeat: int = 1,
    timeout: float = DEFAULT_TIMEOUT,
    device: str = "cpu",
    seed: int | None = None,
    config: str | PathLike[str] | None = None,
    **parameters: Any,
) -> Report:
    """Compare backends with the oracle and with each other, as ``normcheck compare`` does.

    ``method`` is one or several of batch, layer, instance, group, rms; None is all. ``backends`` and
    ``fixtures`` take what ``--backend`` and ``--fixture`` take: a built-in's name or
    ``[ALIAS=]HOST:TARGET``; a name, a tag or a path. None of them means every usable built-in, and the
    core fixtures. ``parameters`` are those of the method: ``eps``, ``num_groups`` or ``groups``, a partition of the
    channels, ``[[0, 1], [2]]`` or ``"0,1|2"``, ``normalized_ndim`` or ``normalized_axes``, ``momentum``, and
    ``channel_axis``.
    ``convention`` takes what ``--convention`` takes, ``"weight=1+w"``, or a mapping, ``{"weight": "1+w"}``.
    ``dtype`` None is float32, or for a file of yours the dtypes in which it has its arrays.
    With ``gradients`` every backend also differentiates, by its framework's own means.
    Parameters left at None are the fixture's own, or the defaults. ``timeout`` is in seconds for one case,
    ``max_backward_error`` in unit roundoffs; it replaces the bound that is derived from n.
    With ``laws`` relations between each backend's own outputs are judged too, such as that y does not
    change when a constant is added to x; these comparisons have a case whose ``law`` is not empty.
    Each case is asked ``repeat`` times, each answer judged, and the worst one counts.
    ``device`` is where backends compute, in their framework's words. ``seed`` repeats the inputs that are drawn anew
    in each run; it is in the report's ``environment``. ``config`` is a file with the ledger of
    known deviations, pyproject.toml or normcheck.toml; None is none.

    ``backends`` may also map names to functions, layers or such strings. A function or a layer runs in this process;
    its framework is told from its class or from what its code names, or stated: ``{"mine": ("torch", function)}``.

    Every other backend runs in a separate process, so it cannot harm the caller. The report's
    ``verdict`` is the worst one, and its ``exit_code`` what the command would have returned.

    Raises :class:`normcheck.NormcheckError` for names, parameters, fixtures and targets that cannot be
    used. A backend that is unavailable, crashes or hangs is no exception but a verdict.
    """
    methods = () if method is None else (method,) if isinstance(method, str) else tuple(method)
    dtypes = () if dtype is None else (dtype,) if isinstance(dtype, str) else tuple(dtype)
    params = {name: row_of(name).value(value) for name, value in parameters.items() if value is not None}
    selection = Selection(
        methods=tuple(named(Method, name, "method") for name in methods),
        fixtures=tuple(fspath(fixture) for fixture in fixtures),
        dtypes=tuple(named(DType, name, "dtype") for name in dtypes),
        modes=tuple(named(Mode, name, "mode") for name in ((mode,) if isinstance(mode, str) else mode)),
        params=params,
        convention=_convention(convention),
        gradients=gradients,
    )
    options = Options(
        timeout=timeout,
        max_backward_error=max_backward_error,
        strict=strict,
        laws=laws,
        device=device,
        repeat=repeat,
        seed=seed,
    )
    known = NO_LEDGER if config is None else ledger_of(read(Path(config)))
    return run(selection, _specs(backends), options, known=known)


def _convention(given: str | Iterable[str] | Mapping[str, Any]) -> Convention:
    if isinstance(given, Mapping):
        given = [f"{key}={spelled(value)}" for key, value in given.items()]
    return parse((given,) if isinstance(given, str) else given)


def _specs(backends: Iterable[str] | Mapping[str, Any]) -> tuple[str | BackendSpec, ...]:
    if not isinstance(backends, Mapping):
        return (backends,) if isinstance(backends, str) else tuple(backends)
    from normcheck.run.inprocess import spec_of  # imports NumPy

    for name in backends:
        if name != backends[name]:  # a built-in backend under its name is no alias
            check_alias(name, name)
    return tuple(
        replace(BackendSpec.parse(value), name=name) if isinstance(value, str) else spec_of(name, value)
        for name, value in backends.items()
    )


def named(kind: type[Name], name: str, what: str) -> Name:
    """The member of an enumeration, or an error that names the valid ones."""
    try:
        return kind(name)
    except ValueError:
        raise UnknownNameError(what, name, list(kind)) from None
