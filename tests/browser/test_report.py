"""The HTML report in a browser: it is clicked, typed into and pointed at, and nothing leaves the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Driver, complaints
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from normcheck.api import compare
from normcheck.reports import render

OWN = "document.title='owned'"
HOSTILE = f'</script><script>{OWN}</script><img src=x onerror="{OWN}">\'\u202e\x1b[31m'


def one_pass(x: Any, num_groups: int, weight: Any, bias: Any, eps: float) -> Any:
    rows = x.reshape(len(x), num_groups, -1)
    mean = rows.mean(-1, keepdims=True)
    var = np.maximum((rows * rows).mean(-1, keepdims=True) - mean * mean, 0)
    y = ((rows - mean) / np.sqrt(var + np.float32(eps))).reshape(x.shape)
    along = (1, x.shape[1]) + (1,) * (x.ndim - 2)
    y = y if weight is None else y * weight.reshape(along)
    return (y if bias is None else y + bias.reshape(along)).astype(x.dtype)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run in which one of two backends takes the variance in one pass."""
    fixtures = ["odd", "nchw", "offset-1", "offset-1e2", "offset-1e4"]
    report = compare(
        "group", backends={"good": ("numpy", two_pass), "bad": ("numpy", one_pass)}, fixtures=fixtures
    )
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(report, "html"), encoding="utf-8")
    return path


def two_pass(x: Any, num_groups: int, weight: Any, bias: Any, eps: float) -> Any:
    rows = x.astype(np.float64).reshape(len(x), num_groups, -1)
    y = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + eps)
    along = (1, x.shape[1]) + (1,) * (x.ndim - 2)
    y = y.reshape(x.shape)
    y = y if weight is None else y * weight.reshape(along)
    return (y if bias is None else y + bias.reshape(along)).astype(x.dtype)


@pytest.fixture
def shown(page: Path, opened: Callable[..., Driver]) -> Driver:
    return opened(page)


def all_drawn(driver: Driver) -> list[str]:
    """Scroll past every picture; the kinds of those that are drawn."""
    charts = driver.find_elements(By.CSS_SELECTOR, "[data-chart]")
    for chart in charts:
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
        WebDriverWait(driver, 20).until(lambda _, chart=chart: chart.get_attribute("data-drawn"))
    return [chart.get_attribute("data-chart") for chart in charts]


def visible(driver: Driver, column: int) -> list[str]:
    script = (
        "return [...document.querySelectorAll('.results tbody tr')].filter((row) => !row.hidden)"
        ".map((row) => row.cells[arguments[0]].innerText.trim())"
    )
    found: list[str] = driver.execute_script(script, column)
    return found


def column_of(driver: Driver, name: str) -> int:
    heads = driver.find_elements(By.CSS_SELECTOR, ".results thead th")
    return next(n for n, head in enumerate(heads) if head.text.startswith(name))


def test_every_picture_is_drawn_without_a_complaint_or_a_request(shown: Driver) -> None:
    assert ["heat", "ulp", "heat", "ulp", "offset"] == all_drawn(shown)
    assert [] == complaints(shown)


def test_the_answer_is_on_the_first_screen(shown: Driver) -> None:
    badge = shown.find_element(By.ID, "verdict")
    assert "✗ fail" == badge.text
    assert badge.location["y"] < 300
    answer = shown.find_element(By.CSS_SELECTOR, ".answers li")
    assert "bad differs in 2 of 5 cases" in answer.text
    assert answer.location["y"] < 400


def test_a_request_or_another_script_is_forbidden_and_seen(shown: Driver) -> None:
    """The check of complaints can fail, and the policy is in force."""
    outcome = shown.execute_async_script(
        "const done = arguments[0]; fetch('http://127.0.0.1:9/').then(() => done('sent'), () => done('refused'))"
    )
    assert "refused" == outcome
    shown.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.owned = 1'; document.body.append(s)"
    )
    assert shown.execute_script("return window.owned") is None
    made = (  # later: what WebDriver runs itself is exempt
        "const done = arguments[0]; setTimeout(() => { "
        "try { done(new Function('return 1')()) } catch (error) { done(error.name) } })"
    )
    assert "EvalError" == shown.execute_async_script(made)
    assert any("Content Security Policy" in said for said in complaints(shown))


def test_a_head_sorts_by_figures_and_says_so(shown: Driver) -> None:
    column = column_of(shown, "error β")
    head = shown.find_elements(By.CSS_SELECTOR, ".results thead th")[column]
    for order in ("descending", "ascending"):
        head.find_element(By.TAG_NAME, "button").click()
        assert order == head.get_attribute("aria-sort")
        figures = [float(text) for text in visible(shown, column) if text]
        assert figures == sorted(figures, reverse=order == "descending")
        assert not visible(shown, column)[-1]  # what has no figure is last
        assert order in shown.find_element(By.ID, "count").text
    assert 1 == len(shown.find_elements(By.CSS_SELECTOR, "th[aria-sort]"))


def test_a_head_sorts_from_the_keyboard(shown: Driver) -> None:
    column = column_of(shown, "backend")
    head = shown.find_elements(By.CSS_SELECTOR, ".results thead th")[column]
    shown.execute_script("arguments[0].focus()", head.find_element(By.TAG_NAME, "button"))
    ActionChains(shown).send_keys(Keys.ENTER).perform()
    names = visible(shown, column)
    assert names == sorted(names)
    assert "ascending" == head.get_attribute("aria-sort")


def test_filters_narrow_the_table_and_say_how_many_are_left(shown: Driver) -> None:
    total = len(visible(shown, 0))
    Select(shown.find_element(By.NAME, "verdict")).select_by_value("fail")
    assert {"✗ fail"} == set(visible(shown, 0))
    assert f"2 of {total} results" == shown.find_element(By.ID, "count").text
    search = shown.find_element(By.NAME, "search")
    search.send_keys("OFFSET-1e4")
    assert 1 == len(visible(shown, 0))
    search.send_keys(" nothing of that name")
    assert [] == visible(shown, 0)
    assert shown.find_element(By.ID, "none").is_displayed()
    shown.find_element(By.CSS_SELECTOR, "button[type=reset]").click()
    WebDriverWait(shown, 5).until(lambda _: len(visible(shown, 0)) == total)
    assert f"All {total} results" == shown.find_element(By.ID, "count").text


def test_an_element_of_the_heat_map_shows_its_set_and_values(shown: Driver) -> None:
    all_drawn(shown)
    canvas = shown.find_element(By.CSS_SELECTOR, "[data-chart=heat] canvas")
    shown.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    ActionChains(shown).move_to_element_with_offset(
        canvas, -canvas.size["width"] // 2 + 8, -canvas.size["height"] // 2 + 22
    ).perform()
    tip = WebDriverWait(shown, 10).until(
        lambda _: next(
            (t for t in shown.find_elements(By.CSS_SELECTOR, "#vg-tooltip-element.visible") if t.text), None
        )
    )
    for word in ("[0, 0, 0, 0]", "statistic set", "actual", "expected", "backward error"):
        assert word in tip.text
    assert [] == complaints(shown)


def test_every_picture_has_a_text_that_says_the_same(shown: Driver) -> None:
    for chart in shown.find_elements(By.CSS_SELECTOR, "[data-chart]"):
        assert "img" == chart.get_attribute("role")
        assert len(chart.get_attribute("aria-label")) > 40
    words = shown.find_element(By.CSS_SELECTOR, "[data-chart=offset]").get_attribute("aria-label")
    assert "good" in words
    assert "does not grow with the offset" in words
    assert "in one pass" in words


def test_landmarks_captions_and_heads_are_there(shown: Driver) -> None:
    for landmark in ("main", "header", "nav", "footer", "h1"):
        assert 1 == len(shown.find_elements(By.TAG_NAME, landmark)), landmark
    tables = shown.find_elements(By.TAG_NAME, "table")
    assert tables
    assert all(table.find_elements(By.TAG_NAME, "caption") for table in tables)
    assert [] == shown.execute_script(
        "return [...document.querySelectorAll('th')].filter((th) => !th.scope).map((th) => th.textContent)"
    )
    ids = shown.execute_script("return [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(dark: bool, page: Path, opened: Callable[..., Driver]) -> None:
    shown = opened(page, dark=dark, phone=True)
    all_drawn(shown)
    assert 390 == shown.execute_script("return document.documentElement.scrollWidth")
    colour = shown.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
    brightness = sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
    assert (brightness < 200) is dark
    assert [] == complaints(shown)


def test_pictures_follow_when_it_becomes_dark(page: Path, opened: Callable[..., Driver]) -> None:
    shown = opened(page)
    all_drawn(shown)
    scheme = {"name": "prefers-color-scheme", "value": "dark"}
    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    chart = shown.find_element(By.CSS_SELECTOR, "[data-chart=offset]")
    WebDriverWait(shown, 20).until(lambda _: chart.get_attribute("data-drawn") == "2")


def test_hostile_names_are_text(tmp_path: Path, opened: Callable[..., Driver]) -> None:
    report = compare(
        "group", backends={"bad": ("numpy", one_pass)}, fixtures=["offset-1", "offset-1e2", "offset-1e4"]
    )
    results = tuple(
        replace(
            each,
            backend=HOSTILE,
            stderr=HOSTILE,
            case=replace(each.case, fixture=f"{each.case.fixture}{HOSTILE}"),
            judgement=replace(each.judgement, reason=HOSTILE),
        )
        for each in report.results
    )
    cases = tuple({each.case.id: each.case for each in results}.values())
    offsets = {
        f"{name.replace('/float32', '')}{HOSTILE}/float32": value for name, value in report.offsets.items()
    }
    environment = replace(report.environment, cpu=HOSTILE, backends={HOSTILE: {"version": HOSTILE}})
    hostile = replace(
        report,
        results=results,
        cases=cases,
        offsets=offsets,
        environment=environment,
        notes=(HOSTILE,),
        pairs=(),
    )
    path = tmp_path / "hostile.html"
    path.write_text(render(hostile, "html"), encoding="utf-8")
    shown = opened(path)
    assert "offset" in all_drawn(shown)
    assert shown.title.startswith("normcheck")
    assert [] == shown.find_elements(By.TAG_NAME, "img")
    text = shown.execute_script("return document.documentElement.outerHTML")
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert [] == complaints(shown)
