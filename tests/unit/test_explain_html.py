"""The page of ``explain --html``: every number in it comes from the methods themselves."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from normcheck.dtype import DType
from normcheck.explain.groups import stops
from normcheck.explain.sets import explain
from normcheck.plan import Selection, plan


def data(text: str) -> list[list[dict[str, Any]]]:
    """The stops of each panel."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert found is not None
    panels: list[list[dict[str, Any]]] = json.loads(found[1])
    return panels


@pytest.fixture
def panels(invoke: Any) -> list[list[dict[str, Any]]]:
    done = invoke("explain", "--html")
    assert (0, "") == (done.returncode, done.stderr)
    return data(done.stdout)


def test_there_is_a_panel_for_each_method_and_a_stop_for_each_number_of_groups(panels: Any) -> None:
    assert [1, 1, 1, 3, 1] == [len(panel) for panel in panels]
    assert ["1 group", "2 groups: 0,1|2", "3 groups"] == [stop["label"] for stop in panels[3]]


def test_groups_go_from_layer_norm_to_instance_norm(panels: Any) -> None:
    _, layer, instance, group, _ = panels
    assert layer[0]["cells"] == group[0]["cells"]
    assert instance[0]["cells"] == group[2]["cells"]


def test_statistics_are_those_of_the_text(panels: Any) -> None:
    first, *_, last = panels[3][1]["sets"]
    assert {"mean": "4.5", "variance": "5.25"} == first["figures"]
    assert ("d", "sample 1, channel 2 (B)", 4) == (last["letter"], last["members"], last["n"])


def test_a_method_that_is_named_is_alone_and_keeps_its_groups(invoke: Any, tmp_path: Any) -> None:
    done = invoke("explain", "--method", "group", "--num-groups", 4, "--fixture", "nchw", "--html", "e.html")
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    text = (tmp_path / "e.html").read_text(encoding="utf-8")
    ((*labels,),) = [[stop["label"] for stop in panel] for panel in data(text)]
    assert ["1 group", "2 groups", "4 groups", "8 groups"] == labels
    assert 'max="3" step="1" value="2"' in text


def test_what_is_left_out_is_said(invoke: Any) -> None:
    done = invoke("explain", "--fixture", "ncdhw", "--html")
    assert "Only the beginning is shown" in done.stdout


def test_each_stop_is_computed_by_the_method() -> None:
    planned = plan(Selection(methods=["group"], fixtures=["odd"], dtypes=[DType.FLOAT64])).cases[0]  # type: ignore[list-item]
    several, start = stops(planned)
    assert planned is several[start]
    counts = [len(explain(each).n) // planned.case.shape[0] for each in several]
    assert counts == sorted(counts)
    assert {1, planned.case.shape[1]} <= set(counts)


def test_without_a_method_or_a_page_the_methods_are_named(invoke: Any) -> None:
    done = invoke("explain")
    assert 2 == done.returncode
    assert "--method is missing; valid: batch, layer, instance, group, rms; --html" in done.stderr


def test_a_hostile_file_name_is_text(invoke: Any, tmp_path: Any) -> None:
    import numpy as np

    name = "<img src=x onerror=alert(1)>\u202e.npy"
    np.save(tmp_path / name, np.ones((2, 3, 2, 2), np.float32))
    done = invoke("explain", "--fixture", name, "--html")
    assert 0 == done.returncode, done.stderr
    assert "<img" not in done.stdout
    assert "\u202e" not in done.stdout
