"""``assert_parity``: a function or a layer computes what the oracle does, within roundoff, or the test fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from normcheck.api import arguments
from normcheck.api.arguments import Conventions, Fixtures, Names
from normcheck.case import Case, Method, Mode
from normcheck.dtype import DType
from normcheck.errors import UnknownNameError, UsageError
from normcheck.ledger.apply import matches
from normcheck.ledger.read import NO_LEDGER, Entry, Ledger
from normcheck.options import DEFAULT_TIMEOUT, Options
from normcheck.parameters import TABLE
from normcheck.plan import DEFAULT_FIXTURES, PlannedCase, Selection
from normcheck.report import Known, Report
from normcheck.run.session import run
from normcheck.testing.quiet import quiet
from normcheck.testing.surroundings import current
from normcheck.verdict import Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

OF_CASES = ("fixtures", "dtypes", "modes", "convention", "gradients")  # beside the parameters of a method


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ParityCase:
    """A case as :func:`normcheck.testing.cases` gives it to a test: what is computed, without what computes it."""

    planned: PlannedCase
    selection: Selection  # which has this case, and perhaps others

    def __repr__(self) -> str:
        """The id, as it names the test."""
        return f"<ParityCase: {self.id}>"

    @property
    def id(self) -> str:
        """The id, such as ``group[num_groups=4]/nchw/float32``."""
        return self.case.id

    @property
    def case(self) -> Case:
        """Its method, params, fixture, shape, dtype, mode and outputs."""
        return self.planned.case

    def inputs(self) -> dict[str, NDArray[Any]]:
        """What it computes from, by name, in its dtypes: x, and as it has them weight, bias, running_mean,
        running_var, residual and grad_y. NumPy's arrays, made anew; those of fixture drawn are those of seed 0.
        """
        return {name: array.copy() for name, array in self.planned.fixture.arrays().inputs(self.case).items()}

    def assert_parity(self, function_or_layer: Any, **how: Any) -> Report:
        """Fail unless a function or a layer is right in this case; ``how`` is as :func:`assert_parity` takes it."""
        __tracebackhide__ = True
        return assert_parity(function_or_layer, case=self, **how)


@quiet
def assert_parity(
    function_or_layer: Any,
    method: Names = None,
    *,
    case: ParityCase | None = None,
    fixtures: Fixtures | None = None,
    dtypes: Names = None,
    modes: Names = None,
    convention: Conventions = (),
    gradients: bool = True,
    laws: bool = False,
    known: str | Mapping[str, str] | None = None,
    max_backward_error: float | None = None,
    strict: bool = False,
    repeat: int = 1,
    timeout: float = DEFAULT_TIMEOUT,
    device: str = "cpu",
    seed: int | None = None,
    host: str | None = None,
    isolated: bool | None = None,
    **parameters: Any,
) -> Report:
    """Fail unless a function or a layer computes a normalization within roundoff of the oracle, gradients too.

    ``function_or_layer`` is called by name with what its signature names, in the spellings of the field: ``x``,
    ``weight`` and ``bias``, which may be None, ``eps``, ``num_groups`` and so on (docs/usage.md). It gets the arrays of
    its framework, ``host``, which is told from its class or from what its code names. It may also be what ``--backend``
    takes: ``"torch"``, ``"torch:norm.py:group_norm"``.

    ``method`` is one or several of batch, layer, instance, group, rms; ``parameters`` are its own, ``num_groups=4``.
    ``fixtures`` are names, tags and paths, or arrays by name, as :func:`normcheck.compare` takes them; the core
    fixtures by default. ``dtypes`` are float32 by default, ``modes`` "train" and "eval", which matter to running
    statistics alone. A ``case`` of :func:`cases` stands for all of these.

    ``gradients=False`` compares what is returned alone. ``laws``, ``convention``, ``max_backward_error`` in unit
    roundoffs, ``strict``, ``repeat``, ``timeout`` in seconds, ``device`` and ``seed`` are those of ``compare``.
    ``known`` says why it is known to fail: in all that it is asked, or by patterns of cases,
    ``{"group*/offset-1e?/float32": "one pass"}``. What is known and no longer fails is a failure.
    ``isolated`` runs it in a worker process, so that a crash or a hang fails the test and not pytest; it must have a
    name at the top level of a module. None is what the mark says, ``@pytest.mark.normcheck(isolated=True)``.

    Returns the :class:`normcheck.Report`, whose results have the figures.

    Raises :class:`normcheck.MismatchError`, an AssertionError, with a paragraph on each failing result: its backward
    error, the allowed one, the worst element; :class:`normcheck.VerdictError`, an AssertionError too, where it raised,
    crashed, or supports none of the cases; :class:`normcheck.NormcheckError` for arguments that cannot be used, and
    where they leave nothing to compare.
    """
    if case is None:
        selection = selected(
            method,
            fixtures=fixtures,
            dtypes=dtypes,
            modes=modes,
            convention=convention,
            gradients=gradients,
            **parameters,
        )
    else:
        _check_alone(
            method, fixtures, dtypes, modes, convention or None, None if gradients else False, *parameters
        )
        selection = case.selection
    from normcheck.testing import candidate  # imports NumPy

    around = current()
    alone = around.isolated if isolated is None else isolated
    spec = candidate.spec(function_or_layer, host=host, isolated=alone, module=around.module)
    options = Options(
        timeout=timeout,
        max_backward_error=max_backward_error,
        strict=strict,
        laws=laws,
        device=device,
        repeat=repeat,
        seed=around.seed if seed is None else seed,
    )
    ledger = _ledger(known, spec.name)
    report = run(selection, (spec,), options, known=ledger)
    _check_known(ledger, report)
    if around.record is not None:
        around.record(report)
    report.raise_for_verdict()
    return report


def selected(
    method: Names,
    *,
    fixtures: Fixtures | None = None,
    dtypes: Names = None,
    modes: Names = None,
    convention: Conventions = (),
    gradients: bool = True,
    **parameters: Any,
) -> Selection:
    """The cases that are meant; UsageError where something is stated to be none."""
    if method is None:
        raise UsageError(f"say the method: method='group'; valid: {', '.join(Method)}")
    for name, value in (("method", method), ("fixtures", fixtures), ("dtypes", dtypes), ("modes", modes)):
        if value is not None and isinstance(value, list | tuple | Mapping | set | frozenset) and not value:
            raise UsageError(f"{name} is empty: there is nothing to compare; leave it out for the default")
    for name in parameters:
        if name not in TABLE:
            raise UnknownNameError("parameter", name, [*TABLE, *OF_CASES])
    return Selection(
        methods=arguments.members(Method, method, "method"),
        fixtures=DEFAULT_FIXTURES if fixtures is None else arguments.fixtures_of(fixtures),  # those that fit
        dtypes=arguments.members(DType, dtypes, "dtype"),
        modes=arguments.members(Mode, modes, "mode") or tuple(Mode),
        params=arguments.params_of(parameters),
        convention=arguments.convention_of(convention),
        gradients=gradients,
    )


def of_case(planned: PlannedCase, selection: Selection) -> ParityCase:
    """One case of ``selection``, with a selection of its own."""
    fixture, case = planned.fixture, planned.case
    own = replace(
        selection,
        methods=(case.method,),
        fixtures=(fixture if fixture.in_memory else fixture.argument,),
        dtypes=(case.dtype,) if selection.dtypes else (),
        modes=(case.mode,),
        only=(case.id,),
    )
    return ParityCase(planned=planned, selection=own)


def _check_alone(*others: Any) -> None:
    if any(each is not None for each in others):
        raise UsageError(
            f"a case says its method, its parameters and its {', '.join(OF_CASES)}: give these to cases()"
        )


def _ledger(known: str | Mapping[str, str] | None, backend: str) -> Ledger:
    """The known deviations of one backend, by patterns of cases."""
    if known is None:
        return NO_LEDGER
    reasons = {"*": known} if isinstance(known, str) else dict(known)
    for case, reason in reasons.items():
        if not (isinstance(case, str) and isinstance(reason, str) and reason.strip()):
            raise UsageError(
                f"known: {case!r}: {reason!r}; write why, {{'group*/offset-1e?/float32': 'one pass'}}"
            )
    if not reasons:
        raise UsageError("known is empty; leave it out where nothing is known to fail")
    return Ledger(entries=tuple(_entry(case, reason, backend) for case, reason in reasons.items()))


def _check_known(ledger: Ledger, report: Report) -> None:
    """UsageError for a pattern that is of no case: what it is to excuse goes unseen."""
    ids = dict.fromkeys(result.case_id for result in report.results)
    for entry in ledger.entries:
        if not any(matches(entry.case, each) for each in ids):
            raise UsageError(f"known: {entry.case!r} is of none of the cases: {', '.join(ids)}")


def _entry(case: str, reason: str, backend: str) -> Entry:
    return Entry(
        case=case,
        backend=backend,
        verdict=Verdict.FAIL,
        output=None,
        version=None,
        known=Known(reason=reason),
        where=f"known={{{case!r}: …}}",
    )
