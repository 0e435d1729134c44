"""The page of ``explain --html`` in a browser: pointing, keys, the slider."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Driver, complaints
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By

from normcheck.cli import main


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explain") / "explain.html"
    with pytest.raises(SystemExit) as ended:
        main(["explain", "--html", str(path)])
    assert 0 == ended.value.code
    return path


@pytest.fixture
def shown(page: Path, opened: Callable[..., Driver]) -> Driver:
    return opened(page)


def panel(driver: Driver, method: str) -> Any:
    return driver.find_element(By.CSS_SELECTOR, f"[aria-labelledby=method-{method}]")


def cell(driver: Driver, method: str, place: int) -> Any:
    return panel(driver, method).find_elements(By.CSS_SELECTOR, ".cell")[place]


def lit(driver: Driver, method: str) -> str:
    """The values of the elements that are lit."""
    found = panel(driver, method).find_elements(By.CSS_SELECTOR, ".cell.lit .value")
    return " ".join(each.text for each in found)


def detail(driver: Driver, method: str) -> str:
    text: str = panel(driver, method).find_element(By.CLASS_NAME, "detail").text
    return text


def letters(driver: Driver, method: str) -> str:
    return "".join(
        each.text for each in panel(driver, method).find_elements(By.CSS_SELECTOR, ".cell .letter")
    )


def test_pointing_at_an_element_lights_its_set_in_every_method(shown: Driver) -> None:
    ActionChains(shown).move_to_element(cell(shown, "batch", 0)).perform()
    assert "1 2 3 4 13 14 15 16" == lit(shown, "batch")
    assert "1 2 3 4" == lit(shown, "instance")
    assert "1 2 5 6 3 4 7 8" == lit(shown, "group")
    assert 12 == len(lit(shown, "layer").split()) == len(lit(shown, "rms").split())


def test_the_set_its_mean_and_its_variance_are_said(shown: Driver) -> None:
    ActionChains(shown).move_to_element(cell(shown, "group", 0)).perform()
    said = detail(shown, "group")
    assert "sample 0, channels 0,1 (R,G)" in said
    assert "n = 8, mean 4.5, variance 5.25" in said
    assert "n = 8, mean 8.5, variance 37.25" in detail(shown, "batch")
    assert "mean square 54.166667" in detail(shown, "rms")
    assert [] == complaints(shown)


def test_keys_move_and_a_screen_reader_hears_the_set(shown: Driver) -> None:
    shown.execute_script("arguments[0].focus()", cell(shown, "group", 0))
    for key, value in (
        (Keys.ARROW_RIGHT, "2"),
        (Keys.ARROW_DOWN, "4"),
        (Keys.END, "12"),
        (Keys.ARROW_DOWN, "22"),
    ):
        ActionChains(shown).send_keys(key).perform()
        label = shown.switch_to.active_element.get_attribute("aria-label")
        assert label.startswith(f"{value}, sample")
    assert "set d: sample 1, channel 2 (B); n = 4, mean 22.5, variance 1.25" in label
    assert "21 22 23 24" == lit(shown, "group")
    ActionChains(shown).send_keys(Keys.ESCAPE).perform()
    assert "" == lit(shown, "group")
    tabbable = panel(shown, "group").find_elements(By.CSS_SELECTOR, ".cell[tabindex='0']")
    assert 1 == len(tabbable)


def test_the_slider_goes_from_all_channels_together_to_each_alone(shown: Driver) -> None:
    slider = panel(shown, "group").find_element(By.ID, "groups")
    output = panel(shown, "group").find_element(By.ID, "label")
    assert "2 groups: 0,1|2" == output.text
    slider.send_keys(Keys.ARROW_LEFT)
    assert "1 group" == output.text == slider.get_attribute("aria-valuetext")
    assert letters(shown, "layer") == letters(shown, "group")
    slider.send_keys(Keys.END)
    assert "3 groups" == output.text
    assert letters(shown, "instance") == letters(shown, "group")
    ActionChains(shown).move_to_element(cell(shown, "group", 0)).perform()
    assert "n = 4, mean 2.5, variance 1.25" in detail(shown, "group")
    assert "num_groups=3" in panel(shown, "group").find_element(By.CLASS_NAME, "code").get_attribute(
        "textContent"
    )
    assert [] == complaints(shown)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(dark: bool, page: Path, opened: Callable[..., Driver]) -> None:
    shown = opened(page, dark=dark, phone=True)
    assert 390 == shown.execute_script("return document.documentElement.scrollWidth")
    grid = panel(shown, "group").find_element(By.CSS_SELECTOR, ".grid")
    assert grid.size["width"] <= 390
    assert [] == complaints(shown)
