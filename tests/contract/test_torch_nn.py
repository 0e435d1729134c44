"""What is particular to torch.nn."""

from __future__ import annotations

from pathlib import Path

from driver import compare

from normcheck.verdict import Verdict


def test_modules_hold_the_users_own_layers_too(tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text(
        "import torch\nright = torch.nn.GroupNorm(4, 8)\nwrong = torch.nn.GroupNorm(2, 8)\n"
    )
    for name, verdict in (("right", Verdict.PASS), ("wrong", Verdict.FAIL)):
        target = f"mine=torch.nn:{tmp_path}/layers.py:{name}"
        report = compare("group", backend=target, fixtures=["nchw"], gradients=False)
        assert {verdict} == {r.verdict for r in report.results}
