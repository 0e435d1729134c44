"""``cases``: a test of its own for each case, by pytest's parametrization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from normcheck.api.arguments import Conventions, Fixtures, Names
from normcheck.plan import plan
from normcheck.testing.parity import of_case, selected
from normcheck.testing.quiet import quiet

if TYPE_CHECKING:
    import pytest


@quiet
def cases(
    method: Names,
    *,
    fixtures: Fixtures | None = None,
    dtypes: Names = None,
    modes: Names = None,
    convention: Conventions = (),
    gradients: bool = True,
    **parameters: Any,
) -> pytest.MarkDecorator:
    """Run a test once for each case, with it as the argument ``case``; the test is named by the case's id.

    >>> @normcheck.testing.cases("group", num_groups=4, dtypes=["float32", "bfloat16"])
    >>> def test_my_group_norm(case):
    >>>     case.assert_parity(my_group_norm)

    All arguments are those of :func:`assert_parity`. No array is made before a test runs.

    Raises :class:`normcheck.NormcheckError` for arguments that cannot be used, and where there is no case: pytest
    reports it as an error of the module.
    """
    import pytest

    selection = selected(
        method,
        fixtures=fixtures,
        dtypes=dtypes,
        modes=modes,
        convention=convention,
        gradients=gradients,
        **parameters,
    )
    found = [of_case(planned, selection) for planned in plan(selection).cases]
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in found])
