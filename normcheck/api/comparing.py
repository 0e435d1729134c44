"""``normcheck.compare``: what the command of that name does, from Python."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from normcheck.api import arguments
from normcheck.api.arguments import Backends, Conventions, Fixtures, Names
from normcheck.case import Method, Mode
from normcheck.config import read
from normcheck.dtype import DType
from normcheck.ledger.read import NO_LEDGER, ledger_of
from normcheck.options import DEFAULT_TIMEOUT, Options
from normcheck.plan import Selection
from normcheck.report import Report
from normcheck.run.session import run


def compare(
    method: Names = None,
    *,
    backends: Backends = (),
    fixtures: Fixtures = (),
    dtype: Names = None,
    mode: Names = tuple(Mode),
    convention: Conventions = (),
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
    ``dtype`` None is float32, or for data of yours the dtypes in which it has its arrays.
    With ``gradients`` every backend also differentiates, by its framework's own means.
    Parameters left at None are the fixture's own, or the defaults. ``timeout`` is in seconds for one case,
    ``max_backward_error`` in unit roundoffs; it replaces the bound that is derived from n.
    With ``laws`` relations between each backend's own outputs are judged too, such as that y does not
    change when a constant is added to x; these comparisons have a case whose ``law`` is not empty.
    Each case is asked ``repeat`` times, each answer judged, and the worst one counts.
    ``device`` is where backends compute, in their framework's words. ``seed`` repeats the inputs that are drawn anew
    in each run; it is in the report's ``environment``. ``config`` is a file with the ledger of
    known deviations, pyproject.toml or normcheck.toml; None is none.

    ``backends`` may also map names to functions, layers or such strings. A function or a layer runs in this process,
    without a timeout; its framework is told from its class or from what its code names, or stated:
    ``{"mine": ("torch", function)}``.

    ``fixtures`` may also map names to arrays: to an x of 2 to 5 axes, or to a mapping of ``x`` and, as there are,
    ``weight`` and ``bias`` (of the shape of the parameters, or with the batch before it), ``residual`` and ``grad_y``
    (of the shape of x), ``running_mean`` and ``running_var`` (of shape (C,)), and ``expected.y`` or any other output.
    They are NumPy's, PyTorch's on any device, JAX's or another loaded framework's, in float64, float32, float16 or
    bfloat16, and keep their dtypes; integers are refused unless ``dtype`` says in what to compute. They are not
    written to. What is None is not there.

    Every other backend runs in a separate process, so it cannot harm the caller. The report's
    ``verdict`` is the worst one, its ``exit_code`` what the command would have returned, ``str(report)`` the table,
    and ``report.raise_for_verdict()`` an AssertionError unless the run passes.

    Raises :class:`normcheck.NormcheckError` for names, parameters, fixtures and targets that cannot be
    used. A backend that is unavailable, crashes or hangs is no exception but a verdict.
    """
    selection = Selection(
        methods=arguments.members(Method, method, "method"),
        fixtures=arguments.fixtures_of(fixtures),
        dtypes=arguments.members(DType, dtype, "dtype"),
        modes=arguments.members(Mode, mode, "mode") or tuple(Mode),
        params=arguments.params_of(parameters),
        convention=arguments.convention_of(convention),
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
    return run(selection, arguments.specs_of(backends), options, known=known)
