"""The HTML report without a browser: all of it is in one file, in words too, and other people's text is only text."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from test_reports import CASE, CRASHED, FAILED, PASSED, WHOLE, judged, report

from normcheck import page
from normcheck.case import Output
from normcheck.evidence import Evidence
from normcheck.report import Report
from normcheck.reports import heat, render
from normcheck.reports.heat import Layout, level, ulp_label
from normcheck.reports.json import read
from normcheck.reports.json import render as as_json
from normcheck.reports.offsets import offsets, slope

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e\x1b[31m\ud83d"
SHAPE = (2, 3, 4)
EVIDENCE = Evidence(
    start=(0, 0, 0),
    shape=SHAPE,
    actual=(math.nan, *range(1, 24)),
    expected=tuple(map(float, range(24))),
    backward_error=(math.inf, 1e4, math.nan, 0.0, *[5.0] * 20),
    sets=tuple(n // 12 for n in range(24)),
    x=tuple(map(float, range(24))),
    ulp=(3, 0, 20),
)


@pytest.fixture(autouse=True)
def no_pictures_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vega takes seconds to make, and says nothing here."""
    monkeypatch.setattr("normcheck.reports.html.pictures_library", lambda: "/* Vega */")


class Page(HTMLParser):
    """The tags of a page, the text outside of scripts and styles, and the scripts by their type."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.scripts, self._inside = "", [""], ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data


def shown(whole: Report) -> Page:
    return Page(render(whole, "html"))


def with_evidence(**rest: Any) -> Report:
    failed = judged(FAILED, evidence=replace(EVIDENCE, **rest), allowed=18.0)
    return report(PASSED, failed, CRASHED)


def test_a_page_asks_for_nothing_and_allows_no_script_but_its_own() -> None:
    found = shown(with_evidence())
    for tag, attributes in found.tags:
        assert not {"src", "srcset", "action", "formaction", "style"} & set(attributes), tag
        assert not any(name.startswith("on") for name in attributes), tag
        if (link := attributes.get("href")) is not None:
            assert link.startswith("#") or link == "data:,"
    (policy,) = (a["content"] for t, a in found.tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_the_page_says_what_the_table_says() -> None:
    text = " ".join(shown(WHOLE).text.split())
    for words in ("✗ fail", "bad differs in 1 of 1 case", "is nan where the oracle has 1", "oh no"):
        assert words in text, words
    assert "normcheck compare --method group --fixture f" in text


def test_hostile_text_is_text_wherever_it_stands() -> None:
    hostile = [
        replace(
            judged(each, reason=HOSTILE, evidence=EVIDENCE, allowed=18.0),
            case=replace(CASE, fixture=HOSTILE),
            backend=f"{HOSTILE}{number}",
            stderr=HOSTILE,
        )
        for number, each in enumerate((PASSED, FAILED, CRASHED))
    ]
    whole = report(*hostile, notes=(HOSTILE,), ledger=HOSTILE, stale=(HOSTILE,))
    whole = replace(
        whole,
        cases=(hostile[0].case,),
        environment=replace(whole.environment, cpu=HOSTILE, platform=HOSTILE),
        offsets={hostile[0].case.id: 3.0},
        fixtures={HOSTILE: HOSTILE},
        arguments={HOSTILE: HOSTILE},
    )
    text, plain = render(whole, "html"), render(with_evidence(), "html")
    text.encode("utf-8")
    assert "\u202e" not in text
    assert "\x1b" not in text
    found, usual = Page(text), Page(plain)
    assert "img" not in {tag for tag, _ in found.tags}
    assert len(usual.scripts) == len(found.scripts)
    assert "alert(1)" in found.text
    json.loads(found.scripts[1])  # the data, which no name ends


def test_a_page_of_what_was_read_from_json_is_the_same() -> None:
    failed = judged(
        FAILED, evidence=replace(EVIDENCE, actual=EVIDENCE.expected), allowed=18.0, max_abs_diff=1.0
    )
    whole = report(PASSED, failed)
    assert render(whole, "html") == render(read(as_json(whole)), "html")


@pytest.mark.parametrize(
    "results", [(), (PASSED,), (CRASHED,), (FAILED,)], ids=["none", "pass", "crash", "fail"]
)
def test_every_kind_of_report_has_a_page(results: tuple[Any, ...]) -> None:
    assert "normcheck" in shown(report(*results)).text


def test_a_run_without_a_ladder_of_offsets_says_so_in_words() -> None:
    assert "no two cases whose offsets" in shown(WHOLE).text


def test_evidence_beyond_the_paragraphs_of_the_table_is_drawn_too() -> None:
    failed = [
        judged(replace(FAILED, output=output), evidence=EVIDENCE if output is Output.RUNNING_VAR else None)
        for output in Output
    ]
    found = shown(report(*failed))
    assert 1 == sum(
        "data-chart" in attributes and attributes["data-chart"] == "heat" for _, attributes in found.tags
    )


def test_without_the_extra_a_sentence_says_how_to_get_it(
    invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        page.importlib.util, "find_spec", lambda name: None if name == "jinja2" else find(name)
    )
    for arguments in (
        ("compare", "--backend", "numpy", "--method", "rms", "--fixture", "nc", "--format", "html"),
        ("explain", "--html"),
    ):
        done = invoke(*arguments)
        assert (3, "") == (done.returncode, done.stdout)
        assert "pip install 'normcheck[report]'" in done.stderr
        assert 1 == len(done.stderr.splitlines())


def test_text_that_would_end_a_script_is_no_script() -> None:
    with pytest.raises(ValueError, match="</script"):
        page.page("base.html", styles=[], scripts=["'</script>'"], data=None, title="")


# --- where elements are -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "channel"),
    [
        ((7,), None),
        ((3, 200), None),
        ((3, 5), 1),
        ((2, 300), 1),
        ((2, 3, 4), 1),
        ((2, 70, 3), 2),
        ((3, 8, 5, 7), 1),
        ((3, 5, 7, 8), 3),
        ((2, 40, 2, 2), 1),
        ((2, 3, 2, 4, 5), 1),
        ((1, 1, 1, 1), 1),
    ],
    ids=str,
)
def test_each_element_has_a_place_of_its_own_inside_the_picture(shape: Any, channel: int | None) -> None:
    layout = Layout(shape, channel)
    cells = list(layout.cells((0,) * len(shape)))
    places = {(column, row) for column, row, _ in cells}
    assert math.prod(shape) == len(places) == len(cells)
    assert all(0 <= column < layout.columns and 0 <= row < layout.rows for column, row in places)
    assert list(itertools.product(*map(range, shape))) == [index for _, _, index in cells]
    corners = {(label["c"], label["r"]) for label in layout.labels((0,) * len(shape))}
    assert corners <= places


def test_labels_count_from_where_the_block_begins() -> None:
    layout = Layout((2, 2, 2, 2), 1)
    texts = [label["text"] for label in layout.labels((5, 3, 0, 0))]
    assert ["n5 c3", "n5 c4", "n6 c3", "n6 c4"] == texts


def test_errors_fall_into_classes_by_what_is_allowed() -> None:
    assert [0, 1, 2, 3, 4, 5] == [level(share * 18, 18.0) for share in (0.0, 0.1, 1.0, 1.1, 11.0, 1e9)]
    assert [heat.NOT_FINITE, heat.UNDECIDED] == [level(math.inf, 18.0), level(math.nan, 18.0)]
    assert [0, 5] == [level(0.0, 0.0), level(1.0, 0.0)]  # printed values are allowed nothing


def test_bars_say_which_distances_they_count() -> None:
    assert ["0", "1", "2–3", "64–127", "2⁷–2⁸", "2²³–2²⁴"] == [
        ulp_label(place) for place in (0, 1, 2, 7, 8, 24)
    ]


# --- the error against the offset ---------------------------------------------------------------------------


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_the_slope_is_that_of_the_logarithms(power: float) -> None:
    points = [(offset, 0.7 * offset**power) for offset in (5.0, 100.0, 1e4)]
    found = slope(points)
    assert found is not None
    assert power == pytest.approx(found)


@pytest.mark.parametrize(
    "points", [[], [(100.0, 1.0)], [(1.0, 1.0), (3.0, 9.0)], [(100.0, 1.0), (200.0, 2.0)]], ids=str
)
def test_no_slope_is_made_up_where_offsets_do_not_differ(points: Any) -> None:
    assert slope(points) is None


def test_a_backend_whose_error_grows_is_told_from_one_whose_does_not() -> None:
    cases = [replace(CASE, fixture=f"f{n}") for n in range(3)]
    grow = [
        judged(replace(PASSED, case=case, backend="bad"), backward_error=10.0**n)
        for n, case in enumerate(cases)
    ]
    stay = [judged(replace(PASSED, case=case, backend="good"), backward_error=0.5) for case in cases]
    whole = replace(
        report(*grow, *stay),
        cases=tuple(cases),
        pairs=(),
        offsets={case.id: 10.0 ** (n + 1) for n, case in enumerate(cases)},
    )
    found = offsets(whole)
    ((method, (bad, good)),) = found.words
    assert "group norm" == method
    assert re.search(r"^bad: .* slope 1.00: it grows", bad)
    assert re.search(r"^good: .* slope 0.00: it does not grow", good)
    (chart,) = found.charts
    assert 6 == len(chart["points"])
    assert [18.0, 18.0] == chart["limits"]
