"""Pictures of tensors of every rank, and of parameters, which have no statistic sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Driver, complaints
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from normcheck.api import compare
from normcheck.reports import render


def wrong(x: Any, num_groups: int, weight: Any, bias: Any, eps: float) -> Any:
    """Not normalized: y and all gradients are wrong."""
    along = (1, x.shape[1]) + (1,) * (x.ndim - 2)
    return x * weight.reshape(along) + x.square() * bias.reshape(along)


@pytest.mark.parametrize("fixture", ["nc", "ncl", "nchw", "ncdhw", "many-channels"])
def test_every_output_of_a_tensor_of_any_rank_is_drawn(
    fixture: str, tmp_path: Path, opened: Callable[..., Driver], requires: Callable[[str], None]
) -> None:
    requires("torch")
    report = compare("group", backends={"bad": ("torch", wrong)}, fixtures=[fixture])
    drawn = [result for result in report.results if result.judgement.evidence]
    assert "grad_weight" in {result.output for result in drawn}
    path = tmp_path / "report.html"
    path.write_text(render(report, "html"), encoding="utf-8")
    shown = opened(path)
    charts = shown.find_elements(By.CSS_SELECTOR, "[data-chart=heat]")
    assert len(drawn) == len(charts)
    for chart in charts:
        shown.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
        WebDriverWait(shown, 30).until(lambda _, chart=chart: chart.get_attribute("data-drawn"))
        canvas = chart.find_element(By.TAG_NAME, "canvas")
        assert 10 < canvas.size["width"] <= chart.size["width"]
        assert canvas.size["height"] < 1000
    assert [] == complaints(shown)
