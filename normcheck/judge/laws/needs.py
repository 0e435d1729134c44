"""What a law needs of a case, so that it holds there: each law names its needs, and applies where all are met."""

from __future__ import annotations

import enum

from normcheck.case import Case, Output
from normcheck.conventions.catalogue import Convention, EpsPlacement, Variance
from normcheck.methods import partition_of, resolved


class Need(enum.Enum):
    """One property of a case."""

    CENTERED = enum.auto()  # the mean is taken away
    OWN_STATISTICS = enum.auto()  # not the running ones
    RUNNING_STATISTICS = enum.auto()  # the running ones, that x does not go into
    WITHIN_A_SAMPLE = enum.auto()  # no statistic set has elements of two samples
    EPS_SCALES = enum.auto()  # there is an eps beside the variance, which can be scaled with it
    EPS_INSIDE = enum.auto()  # M(x̂²) is var/(var + eps)
    GRAD_X = enum.auto()
    X_ALONE = enum.auto()  # no residual is added to x
    USUAL = enum.auto()  # no convention changes which elements share statistics, or if the mean is taken away

    def met_by(self, case: Case) -> bool:
        """True if ``case`` has the property."""
        convention = resolved(case.method, case.dtype, case.convention)
        return {
            Need.CENTERED: bool(convention.centered),
            Need.OWN_STATISTICS: not case.uses_running,
            Need.RUNNING_STATISTICS: case.uses_running and case.steps == 0,
            Need.WITHIN_A_SAMPLE: _within_a_sample(case),
            Need.EPS_SCALES: convention.eps_placement in {EpsPlacement.INSIDE_SQRT, EpsPlacement.MAX},
            Need.EPS_INSIDE: _eps_inside(convention),
            Need.GRAD_X: Output.GRAD_X in case.outputs,
            Need.X_ALONE: Output.SUM not in case.outputs,
            Need.USUAL: case.convention.statistics is None and case.convention.centered is None,
        }[self]


def _eps_inside(convention: Convention) -> bool:
    return convention.eps_placement is EpsPlacement.INSIDE_SQRT and convention.variance is Variance.BIASED


def _within_a_sample(case: Case) -> bool:
    """With running statistics, that x has not gone into, every element is by itself."""
    if case.uses_running:
        return case.steps == 0
    return 0 not in partition_of(case.method, case.shape, case.params, case.convention).reduced
