"""What is particular to flax.linen and flax.nnx."""

from __future__ import annotations

import pytest

import normcheck
from normcheck.case import Output
from normcheck.verdict import Verdict


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("library", ["flax.linen", "flax.nnx"])
def test_the_fast_variance_of_flax_is_its_default_and_an_option(library: str) -> None:
    names = [library, f"{library}[use_fast_variance=True]", f"{library}[use_fast_variance=False]"]
    report = normcheck.compare("group", backends=names, fixtures=["offset-1e4"])
    found = {r.backend: r for r in report.results if r.output is Output.Y}
    assert [Verdict.FAIL, Verdict.FAIL, Verdict.PASS] == [found[name].verdict for name in names]
    assert found[names[0]].backward_error == found[names[1]].backward_error
    assert [True, True, False] == [report.environment.backends[name]["use_fast_variance"] for name in names]
