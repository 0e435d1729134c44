"""``normcheck explain`` for people: the picture, the statistic sets, the formula, the PyTorch call.

Nothing depends on colour. In a pipe lines are as long as they are, and nothing is cut.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from normcheck.explain.formula import formula, remarks
from normcheck.explain.grid import Corner, colours, corner, draw, left_out
from normcheck.explain.sets import Explanation, letters
from normcheck.explain.torch_code import torch_code
from normcheck.methods import definition, parameter_shape
from normcheck.printable import printable

PIPE_WIDTH = 80  # columns that the picture may take where there is no terminal
UNLIMITED = 100_000
MAX_SETS = 12


def render(explanation: Explanation) -> str:
    """The explanation as plain text: no colour, no trailing blanks."""
    console = Console(file=io.StringIO(), width=UNLIMITED, color_system=None, highlight=False)
    with console.capture() as capture:
        for block in _blocks(explanation, PIPE_WIDTH):
            console.print(block)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def show(explanation: Explanation, console: Console) -> None:
    """Print the explanation to ``console``, fitted to its width, with its colours."""
    if not console.is_terminal:
        console.file.write(render(explanation))
        return
    for block in _blocks(explanation, console.width):
        console.print(block)


def _blocks(explanation: Explanation, width: int) -> Iterator[RenderableType]:
    seen = corner(explanation, width)
    yield headline(explanation)
    yield in_words(explanation)
    yield Text("")
    yield from draw(explanation, seen)
    for remark in _remarks(explanation, seen):
        yield Text(f"\n{remark}", style="dim")
    yield Text("")
    yield from _sets_table(explanation, seen)
    yield _title("formula")
    yield _indented(formula_words(explanation))
    yield _title("the same in PyTorch")
    shape = explanation.fixture.shape
    yield _indented(Text(code(explanation, shape), style="cyan"))
    yield _title("used for")
    yield _indented(Text(definition(explanation.case.method).used))


def headline(explanation: Explanation) -> Text:
    """The method, its parameters and the input."""
    case = explanation.case
    text = Text(f"{case.method} norm", style="bold")
    options = f" ({', '.join(case.options)})" if case.options else ""
    shape = "×".join(map(str, explanation.fixture.shape))
    return text.append(f"{options} of {printable(case.fixture)}, x of shape {shape}", style="not bold")


def in_words(explanation: Explanation) -> Text:
    """Which elements share statistics, as a sentence."""
    case, ndim = explanation.case, len(explanation.fixture.shape)
    shares = definition(case.method).shares
    if case.convention.statistics is not None:
        shares = case.convention.statistics.words
    elif (axes := case.params.normalized_ndim) is not None:
        shares = "all of x" if axes == ndim else shares.replace("last axes", f"last {_axes(axes)}")
    elif (places := case.params.normalized_axes) is not None:
        own = f"axis {places[0]}" if len(places) == 1 else f"axes {', '.join(map(str, places))}"
        shares = shares.replace("its last axes", own)
    count = len(explanation.n)
    return Text(f"Same letter, same statistics: {shares} ({count} {_sets(count)}).")


def _sets(count: int) -> str:
    return "set" if count == 1 else "sets"


def _axes(count: int) -> str:
    return "axis" if count == 1 else f"{count} axes"


def _remarks(explanation: Explanation, seen: Corner) -> Iterator[str]:
    if explanation.case.params.channel_axis == -1 and len(explanation.fixture.shape) > 2:
        yield "x has its channels last (channel_axis -1); the picture has them across all the same."
    if missing := left_out(explanation, seen):
        yield missing


def _sets_table(explanation: Explanation, seen: Corner) -> Iterator[RenderableType]:
    """The statistic sets that the picture shows, filled up with others in their order."""
    total = len(explanation.n)
    chosen = sorted(range(total), key=lambda number: (number not in seen.numbers, number))[:MAX_SETS]
    styles = colours(seen)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(Text("set"), no_wrap=True)
    table.add_column(Text("consists of"), overflow="fold")
    for name in ("n", *explanation.statistics):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for number in sorted(chosen):
        letter = Text(f" {letters(number)} ", style=styles.get(number, ""))
        figures = (f"{figure[number]:.8g}" for figure in explanation.statistics.values())
        table.add_row(letter, Text(explanation.members(number)), str(explanation.n[number]), *figures)
    yield table
    if (rest := total - len(chosen)) > 0:
        yield Text(f"… and {rest} more {_sets(rest)}")


def formula_words(explanation: Explanation) -> Text:
    """The formula, and what its words mean."""
    text = Text(formula(explanation.case, explanation.parameters), style="bold")
    for remark in remarks(explanation.case):
        text.append(f"\n{remark}", style="not bold")
    return text.append(f"\n{_parameters(explanation)}", style="not bold")


def code(explanation: Explanation, shape: tuple[int, ...]) -> str:
    """The same in PyTorch."""
    lines = torch_code(explanation.case, shape, explanation.parameters)
    return f"x = x + residual\n{lines}" if explanation.residual else lines


def _parameters(explanation: Explanation) -> str:
    case = explanation.case
    shape = parameter_shape(case.method, explanation.fixture.shape, case.params)
    fixed = {"weight": "1", "bias": "0"}
    fixed = {name: value for name, value in fixed.items() if name in definition(case.method).affine}
    absent = [f"{name} is {value}" for name, value in fixed.items() if name not in explanation.parameters]
    here = f"; here {' and '.join(absent)}" if absent else ""
    names = " and ".join(dict.fromkeys((*fixed, *explanation.parameters)))
    return f"{names} {'have' if ' and ' in names else 'has'} shape {shape}{here}."


def _title(words: str) -> Text:
    return Text(f"\n{words}", style="bold")


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 2))
