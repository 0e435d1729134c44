"""Write docs/backends.md, from what the adapters say of themselves, and the extras, from the registry.

python docs/make_backends.py
"""

from __future__ import annotations

import json
from pathlib import Path

from normcheck.backends import BUILTIN, extras
from normcheck.reports.listing import LEGEND, METHODS, matrix_row, why_not
from normcheck.run.probe import BackendStatus, probe_backends

PAGE = Path(__file__).with_name("backends.md")
PROJECT = PAGE.parents[1] / "pyproject.toml"
START, END = "# Backends: ", "# End of backends.\n"
INTRODUCTION = """# Backends

Each backend calls the library's own layers and translates PyTorch's conventions (the weight of the new batch as
momentum, an unbiased running variance, the channel axis, names and shapes of parameters) into the library's. Nothing is
left to a default, and nothing is computed in a wider dtype than the library's own. `--backend NAME` names one; without
names {default} run. What fails in the core and adversarial fixtures is in [normcheck.toml](../normcheck.toml), with
reproductions in [findings](findings). This page is written by `make docs` from what `normcheck backends` found, here with
the versions in constraints.txt.

{legend}.

"""
NOTES = """
## Options

They stand in brackets after the name: `flax.nnx[use_fast_variance=False]`. The first value is the default.

{options}

## What is particular

- `torch.compile` compiles each case as a whole with inductor, forward and backward: seconds for each. On the CPU it needs a
  C++ compiler.
- `torch.channels_last` has x and its gradient in channels-last memory, for 4 and 5 axes. `torch.decomp` has every operator of
  normalization replaced by PyTorch's decomposition of it, which is what the compiler and exported programs start from.
- `keras` runs eagerly. Its float64 layers compute in float32 on all backends but TensorFlow
  ([keras-float64.py](findings/keras-float64.py)).
- `tensorflow` has tf.nn.moments and tf.nn.batch_normalization in a row; layers are Keras's.
- ONNX keeps epsilon and momentum in float32. A float64 case runs where these hold them exactly: `--eps 0.0009765625
  --momentum 0.25`. `onnxruntime[opset=18]` has the scale and bias of GroupNormalization by group, so that weight and
  bias are applied after it.
- `equinox` and `haiku` debias their running averages. The state that they are given has that behind it.
- `tinygrad` compiles for the CPU with clang. `mlx` runs on Linux and macOS.
- Half precision shows how differently libraries read "statistics in float32": most round somewhere on the way, which is a
  FAIL with the reason in the report ([findings](findings)).
"""


def markdown(found: tuple[BackendStatus, ...]) -> str:
    """The page; backends that cannot be used here are listed with the reason."""
    head = ["backend", "version", *METHODS, "dtypes", "gradients", "lacks"]
    lines = [_row(head), _row(["---"] * len(head))]
    for backend in found:
        if backend.environment:
            name, *cells = matrix_row(backend)
            lines.append(_row([f"`{name}`", *cells, why_not(backend)]))
    absent = [
        f"\nNot usable where this was written: `{b.name}` ({b.reason})." for b in found if not b.environment
    ]
    options = [
        f"- `{name}`: "
        + ", ".join(f"`{option}` {' or '.join(values)}" for option, values in entry.options.items())
        for name, entry in BUILTIN.items()
        if entry.options
    ]
    default = ", ".join(f"`{name}`" for name, entry in BUILTIN.items() if entry.default)
    introduction = INTRODUCTION.format(default=default, legend=LEGEND)
    return introduction + "\n".join([*lines, *absent]) + "\n" + NOTES.format(options="\n".join(options))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def project(text: str) -> str:
    """pyproject.toml with the extras of the registry."""
    before, rest = text.split(START)
    remark, rest = rest.split("\n", 1)
    lines = [f"{extra} = {json.dumps(needs)}\n" for extra, needs in extras().items()]
    apart = "; ".join(f"{e.requires}: {e.apart}" for e in BUILTIN.values() if e.apart)
    lines.insert(-1, f"# Without {apart}.\n")
    return before + START + remark + "\n" + "".join(lines) + END + rest.split(END)[1]


if __name__ == "__main__":
    PROJECT.write_text(project(PROJECT.read_text(encoding="utf-8")), encoding="utf-8")
    PAGE.write_text(markdown(probe_backends()), encoding="utf-8")
