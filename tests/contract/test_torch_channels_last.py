"""What is particular to channels-last memory."""

from __future__ import annotations

from driver import compare, on_the_worker_of

import normcheck
from normcheck.verdict import Verdict

pytestmark = on_the_worker_of("torch.channels_last")


def test_channels_last_memory_is_what_the_kernel_gets() -> None:
    """Its group norm has one pass there, which shows at an offset; in contiguous memory it has two."""
    report = normcheck.compare(
        "group", backends=["torch", "torch.channels_last"], fixtures=["offset-1e2"], gradients=False
    )
    found = {r.backend: r.verdict for r in report.results}
    assert {"torch": Verdict.PASS, "torch.channels_last": Verdict.FAIL} == found


def test_channels_last_is_for_images_and_volumes() -> None:
    report = compare("group", backend="torch.channels_last", fixtures=["ncl"])
    assert {(Verdict.UNSUPPORTED, "channels_last is a memory format of 4 or 5 axes, x has 3")} == {
        (r.verdict, r.reason) for r in report.results
    }
