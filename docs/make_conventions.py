"""Write docs/conventions.md, and the table in the README, from the catalogue.

python docs/make_conventions.py
"""

from __future__ import annotations

from pathlib import Path

from normcheck.conventions.catalogue import KEYS, PYTORCH, listed, spelled

PAGE = Path(__file__).with_name("conventions.md")
README = PAGE.parents[1] / "README.md"
START, END = "<!-- conventions: written by `make docs` -->\n", "<!-- end of conventions -->\n"
INTRODUCTION = """# Conventions

What a method leaves open, and what implementations do differently. normcheck judges by PyTorch's convention unless
`--convention KEY=VALUE`, once or several times, says otherwise; in Python `convention="weight=1+w"` or
`convention={"weight": "1+w"}`. The id of a case shows what is not PyTorch's, `layer[variance=unbiased]/nc/float32`, and
`normcheck explain` prints the formula that is judged. The oracle evaluates y, gradients and running statistics under any of
them, certified like the rest ([numerics.md](numerics.md#conventions)).

```python title="gemma.py"
import torch


def rms_norm(x, weight, eps):
    wide = x.float()
    y = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return (y * (1 + weight.float())).to(x.dtype)
```

```python title="llama.py"
import torch


def rms_norm(x, weight, eps):
    wide = x.float()
    y = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return weight * y.to(x.dtype)
```

```sh
normcheck compare --method rms --fixture nc --convention weight=1+w \\
    --backend mine=torch:gemma.py:rms_norm
normcheck compare --method rms --fixture nc --dtype bfloat16 \\
    --convention cast_order=cast_then_affine \\
    --backend mine=torch:llama.py:rms_norm
normcheck compare --method layer --dtype float16 \\
    --convention stats_dtype=float16 --backend torch
```

This page is written by `make docs` from `normcheck/conventions/catalogue.py`. Where no value is PyTorch's, it is the method's, or
the dtype's.

"""
NOTES = """
## Which methods have which

- `momentum` and `running_var` are for what keeps running statistics: batch norm, and instance norm that tracks. Its
  `statistics` are those of a channel, `batch` or `instance`, and it takes the mean away.
- `statistics=group_contiguous` and `group_interleaved` need groups, `group_interleaved` equal ones (`--num-groups`).
- `residual_sum` is for a fixture with a `residual`. `eps_placement=none` contradicts `--eps`.
- `cast_order` changes something in half precision only: elsewhere the two round the same.
- `stats_dtype` sets the roundoff that the bound counts in: float32, for float64 cases float64. `stats_dtype=float16` accepts a
  library that rounds intermediate results to float16, as PyTorch's CPU kernels do; the message of a failing
  result names it where it would help.

## Built-in backends

Libraries keep PyTorch's convention. Where their arguments express another one, they are asked for that: under `weight=1+w` they
get 1 + the weight, formed in float32; under `weight=ignored` and `bias=ignored` none; under `momentum=old` 1 minus
the momentum. Under every other convention they fail, as they should. Your own code gets its parameters as they are
stored.
"""


def page() -> str:
    """The text of docs/conventions.md."""
    lines = ["| key | value | meaning |", "|---|---|---|"]
    before = ""
    for key, about, value, words in listed():
        usual = " (PyTorch's)" if spelled(getattr(PYTORCH, key)) == value else ""
        shown = f"`{key}`: {about}" if key != before else ""
        lines.append(f"| {shown} | `{value}`{usual} | {words} |")
        before = key
    return INTRODUCTION + "\n".join(lines) + "\n" + NOTES


def table() -> str:
    """The table in the README: a row for each key."""
    lines = ["| key | values | about |", "|---|---|---|"]
    for key, about in KEYS.items():
        values = ", ".join(f"`{spelled(value)}`" for value in about["values"])
        lines.append(f"| `{key}` | {values} | {about['words']} |")
    return "\n".join(lines) + "\n"


def readme(text: str) -> str:
    """The README with its table as the catalogue has it."""
    before, _, rest = text.partition(START)
    _, end, after = rest.partition(END)
    return before + START + table() + end + after


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")
