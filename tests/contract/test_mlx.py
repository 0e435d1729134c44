"""What is particular to MLX."""

from __future__ import annotations

import pytest
from driver import compare, on_the_worker_of, reasons, verdicts

from normcheck.verdict import Verdict

pytestmark = on_the_worker_of("mlx")


def test_mlx_has_its_own_interleaved_groups() -> None:
    """Its two arrangements differ in precision: fast.layer_norm, and the other one not, is float32 in float64."""
    found = {
        groups: verdicts(compare("group", backend="mlx", fixtures=["nchw"], dtype="float64", groups=groups))
        for groups in ("0,2,4,6|1,3,5,7", "0,1,2,3|4,5,6,7", "0,2,4|1,3,5,6,7")
    }
    assert list(found.values()) == [{"group": {v}} for v in (Verdict.PASS, Verdict.FAIL, Verdict.FAIL)]
    for groups in ("0,2,4,6|1,3,5,7", "0,2,4|1,3,5,6,7", "0,2,4,6,7|1,3,5"):
        report = compare("group", backend="mlx", fixtures=["nchw"], groups=groups)
        assert verdicts(report) == {"group": {Verdict.PASS}}, groups
    report = compare("group", backend="mlx", fixtures=["past-power-of-two"])  # 0,2|1: strided, but uneven
    assert verdicts(report) == {"group": {Verdict.PASS}}


@pytest.mark.parametrize(
    ("fixture", "eps", "reason"), [("ncdhw", None, "4 axes"), ("nchw", 0.0, "not positive")]
)
def test_what_mlx_refuses(fixture: str, eps: float | None, reason: str) -> None:
    report = compare("batch", backend="mlx", fixtures=[fixture], eps=eps)
    assert verdicts(report) == {"batch": {Verdict.UNSUPPORTED}}
    assert reason in reasons(report)
