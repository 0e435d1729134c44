"""Read JSON reports by laws."""

from __future__ import annotations

from typing import Any


def law_of(result: dict[str, Any]) -> str:
    options = result["case"].partition("[")[2].partition("]")[0].split(";")
    return next((option.removeprefix("law=") for option in options if option.startswith("law=")), "")


def by_law(report: dict[str, Any], backend: str, law: str) -> set[str]:
    """The verdicts on one backend by one law, by whatever output; "" is the oracle."""
    return {r["verdict"] for r in report["results"] if r["backend"] == backend and law_of(r) == law}
