"""What is particular to torch.compile."""

from __future__ import annotations

from pathlib import Path

from driver import compare, on_the_worker_of

from normcheck.run.probe import probe_backends
from normcheck.verdict import Verdict

pytestmark = on_the_worker_of("torch.compile")


def test_the_compiler_is_the_default_one() -> None:
    """That it compiles forward and backward is in the suite over every backend."""
    (found,) = probe_backends(["torch.compile"])
    assert "inductor" == found.environment["compiler"]


def test_what_cannot_be_compiled_as_a_whole_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "norm.py").write_text(
        "import torch\n"
        "def layer(x, weight, bias, *, eps):\n"
        "    print(x.sum().item())\n"
        "    return torch.nn.functional.layer_norm(x, x.shape[1:], weight, bias, eps)\n"
    )
    target = f"mine=torch.compile:{tmp_path}/norm.py:layer"
    report = compare("layer", backend=target, fixtures=["nc"], timeout=200)
    assert {Verdict.ERROR} == {r.verdict for r in report.results}
