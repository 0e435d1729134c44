"""What is particular to torch.nn."""

from __future__ import annotations

from pathlib import Path

import pytest
from driver import compare, on_the_worker_of, verdicts

from normcheck.verdict import Verdict

pytestmark = on_the_worker_of("torch.nn")

LAYERS = """
import torch

class Wrong(torch.nn.GroupNorm):
    def forward(self, x):
        return super().forward(x) * 1.01

right = torch.nn.GroupNorm(4, 8)
other = torch.nn.GroupNorm(2, 8)
wrong = Wrong(4, 8)
"""


@pytest.mark.usefixtures("in_this_process")
def test_modules_hold_the_users_own_layers_too(tmp_path: Path) -> None:
    """Each is judged with the groups that it was made with."""
    (tmp_path / "layers.py").write_text(LAYERS)
    for name, groups, verdict in (
        ("right", 4, Verdict.PASS),
        ("other", 2, Verdict.PASS),
        ("wrong", 4, Verdict.FAIL),
    ):
        target = f"mine=torch.nn:{tmp_path}/layers.py:{name}"
        report = compare("group", backend=target, fixtures=["nchw"], gradients=False)
        assert {(f"group[num_groups={groups}]/nchw/float32", verdict)} == {
            (r.case.id, r.verdict) for r in report.results
        }


def test_one_of_weight_and_bias_is_for_layer_norm_alone() -> None:
    """Which has its bias left out in one fixture; the modules of the channels have both or neither."""
    report = compare(["batch", "layer", "instance", "group"], backend="torch.nn", fixtures=["short-of-64"])
    channels = {method: {Verdict.UNSUPPORTED} for method in ("batch", "instance", "group")}
    assert {**channels, "layer": {Verdict.PASS}} == verdicts(report)
