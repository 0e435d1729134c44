"""Draw docs/images/compare.svg, the picture in the README, from a real run: ``make docs``."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

import normcheck
from normcheck.reports.table import show

WIDTH = 96  # columns; the README shows the picture at about this size

# Without rich's web fonts, which a README does not load, and without its advertisement.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*|<!--.*?-->\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def main() -> None:
    """Run the comparison and write the picture beside this script."""
    console = Console(
        record=True,
        width=WIDTH,
        force_terminal=True,
        color_system="truecolor",
        file=io.StringIO(),
        highlight=False,
    )
    console.print("$ normcheck compare --method group", style="bold", markup=False)
    show(normcheck.compare(method="group", seed=0), console)
    drawing = console.export_svg(title="normcheck", code_format=FORMAT, unique_id="normcheck")
    Path(__file__).with_name("compare.svg").write_text(drawing, encoding="utf-8")


if __name__ == "__main__":
    main()
