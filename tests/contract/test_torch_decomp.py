"""What is particular to PyTorch's decompositions."""

from __future__ import annotations

from pathlib import Path

import pytest
from driver import compare

from normcheck.verdict import Verdict


@pytest.mark.usefixtures("in_this_process")
def test_what_has_no_decomposition_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "norm.py").write_text("def zeros(x, weight, bias, *, eps): return x * 0\n")
    target = f"mine=torch.decomp:{tmp_path}/norm.py:zeros"
    report = compare("layer", backend=target, fixtures=["nc"], gradients=False)
    assert {(Verdict.ERROR, "RuntimeError: no operator of it has a decomposition")} == {
        (r.verdict, r.reason) for r in report.results
    }
