"""One's own layers of flax and equinox, hosted by JAX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Completed

pytestmark = pytest.mark.xdist_group("own layers of JAX")  # imported once
Run = Callable[..., Completed]

LINEN = """
from flax import linen

batch = linen.BatchNorm(momentum=0.9)
layer = linen.LayerNorm(epsilon=1e-5, reduction_axes=(1, 2, 3), feature_axes=(1, 2, 3))
instance = linen.InstanceNorm(epsilon=1e-5)
group = linen.GroupNorm(num_groups=4, epsilon=1e-5)
other_batch = linen.BatchNorm(momentum=0.1)
other_group = linen.GroupNorm(num_groups=2, epsilon=1e-3)

class Wrapped(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        return linen.BatchNorm(use_running_average=not train, momentum=0.9)(x)

wrapped_batch = Wrapped()

class Wrong(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        return linen.BatchNorm(use_running_average=not train, momentum=0.8)(x)

wrong_batch = Wrong()
"""

NNX = """
from flax import nnx

rngs = nnx.Rngs(0)
batch = nnx.BatchNorm(8, momentum=0.9, rngs=rngs)
layer = nnx.LayerNorm(8 * 5 * 7, epsilon=1e-5, reduction_axes=(1, 2, 3), feature_axes=(1, 2, 3), rngs=rngs)
instance = nnx.InstanceNorm(8, epsilon=1e-5, rngs=rngs)
group = nnx.GroupNorm(8, num_groups=4, epsilon=1e-5, rngs=rngs)
other_batch = nnx.BatchNorm(8, momentum=0.1, rngs=rngs)
other_group = nnx.GroupNorm(8, num_groups=2, epsilon=1e-3, rngs=rngs)

class Wrapped(nnx.Module):
    def __init__(self):
        self.norm = nnx.BatchNorm(8, momentum=0.9, rngs=rngs)

    def __call__(self, x):
        return self.norm(x)

wrapped_batch = Wrapped()

class Wrong(nnx.BatchNorm):
    def __call__(self, x):
        return super().__call__(x) * 1.01

wrong_batch = Wrong(8, momentum=0.9, rngs=rngs)
"""

EQUINOX = """
import equinox as eqx
import jax.numpy as jnp

batch = eqx.nn.BatchNorm(8, "samples", momentum=0.9, mode="batch")
layer = eqx.nn.LayerNorm((8, 5, 7))
group = eqx.nn.GroupNorm(4, 8)
wrong_batch = eqx.nn.BatchNorm(8, "samples", momentum=0.9, mode="ema")
other_batch = eqx.nn.BatchNorm(8, "samples", momentum=0.1, mode="batch")
other_group = eqx.nn.GroupNorm(2, 8, eps=1e-3)

class Wrapped(eqx.Module):
    norm: eqx.nn.BatchNorm

    def __call__(self, x, state):
        return self.norm(x, state)

wrapped_batch, _ = eqx.nn.make_with_state(lambda: Wrapped(batch))()

@eqx.filter_jit
def function_layer(x, weight, bias, *, eps):
    d = x - x.mean((1, 2, 3), keepdims=True)
    return d / jnp.sqrt((d * d).mean((1, 2, 3), keepdims=True) + eps) * weight + bias
"""
SOURCES = {"flax.linen": LINEN, "flax.nnx": NNX, "equinox": EQUINOX}
LAYERS = [
    (library, attribute)
    for library in SOURCES
    for attribute in ("batch", "wrapped_batch", "layer", "instance", "group")
    if (library, attribute) != ("equinox", "instance")
]
GRADIENTS = {"y", "grad_x", "grad_weight", "grad_bias"}
STATE = {"running_mean", "running_var"}


def results(
    invoke: Run, parsed: Any, folder: Path, library: str, target: str, *options: str
) -> tuple[int, dict[str, list[str]]]:
    """The exit code, and the verdicts of each output of the layer ``target`` is, on the fixture nchw."""
    host, _, attribute = target.rpartition(":")
    (folder / "own.py").write_text(SOURCES[library])
    method = attribute.rpartition("_")[2]
    chosen = ["--method", method, "--fixture", "nchw", *options]
    if method == "layer":
        chosen += ["--normalized-ndim", "3"]
    done = invoke("compare", "--backend", f"mine={host}:own.py:{attribute}", "--format", "json", *chosen)
    verdicts: dict[str, list[str]] = {}
    for row in parsed(done.stdout)["results"]:
        verdicts.setdefault(row["output"], []).append(row["verdict"])
    return done.returncode, verdicts


@pytest.mark.parametrize(("library", "attribute"), LAYERS)
def test_a_layer_passes_with_its_gradients_and_statistics(
    invoke: Run, parsed: Any, requires: Any, tmp_path: Path, library: str, attribute: str
) -> None:
    requires(library)
    dtypes = ["--dtype", "float32", "--dtype", "float64"]
    code, verdicts = results(invoke, parsed, tmp_path, library, f"jax:{attribute}", *dtypes)
    tracks = attribute.endswith("batch")
    passes = dict.fromkeys(GRADIENTS, ["pass"] * (4 if tracks else 2))  # in both modes
    passes |= dict.fromkeys(STATE, ["pass"] * 2) if tracks else {}
    assert (0, passes) == (code, verdicts)


@pytest.mark.parametrize("library", SOURCES)
@pytest.mark.parametrize("attribute", ["batch", "wrapped_batch"])
def test_a_layer_evaluates_with_the_running_statistics(
    invoke: Run, parsed: Any, requires: Any, tmp_path: Path, library: str, attribute: str
) -> None:
    requires(library)
    code, verdicts = results(invoke, parsed, tmp_path, library, f"{library}:{attribute}", "--mode", "eval")
    assert (0, {output: ["pass"] for output in GRADIENTS}) == (code, verdicts)


LAST = {
    "flax.linen": "from flax import linen\ngroup = linen.GroupNorm(num_groups=2, epsilon=1e-5)\n",
    "flax.nnx": "from flax import nnx\ngroup = nnx.GroupNorm(6, num_groups=2, epsilon=1e-5, rngs=nnx.Rngs(0))\n",
    "equinox": "import equinox\ngroup = equinox.nn.GroupNorm(2, 6)\n",
}


@pytest.mark.parametrize("library", LAST)
def test_channels_that_are_last_are_the_channels(
    invoke: Run, requires: Any, tmp_path: Path, library: str
) -> None:
    requires(library)
    (tmp_path / "own.py").write_text(LAST[library])
    done = invoke("compare", "--backend", "mine=jax:own.py:group", "--method", "group", "--fixture", "nhwc")
    assert 0 == done.returncode, done.stdout


@pytest.mark.parametrize(
    ("library", "trained", "evaluated"),
    [
        ("flax.linen", GRADIENTS, GRADIENTS),  # its momentum is another
        ("flax.nnx", STATE, set()),  # it multiplies by 1.01
        ("equinox", {"grad_bias", *STATE}, GRADIENTS),  # in training it uses what it has averaged
    ],
)
def test_a_wrong_layer_fails(
    invoke: Run,
    parsed: Any,
    requires: Any,
    tmp_path: Path,
    library: str,
    trained: set[str],
    evaluated: set[str],
) -> None:
    """``trained`` and ``evaluated`` are the outputs of either mode that are right all the same."""
    requires(library)
    code, verdicts = results(invoke, parsed, tmp_path, library, "jax:wrong_batch")
    said = {True: "pass", False: "fail"}
    expected = {name: [said[name in trained], said[name in evaluated]] for name in GRADIENTS}
    expected |= {name: [said[name in trained]] for name in STATE}
    assert (1, expected) == (code, verdicts)


@pytest.mark.parametrize("library", SOURCES)
@pytest.mark.parametrize(
    ("attribute", "shown", "options"),
    [
        ("other_batch", "momentum=0.9", ("--momentum", "0.1")),
        ("other_group", "num_groups=2;eps=0.001", ("--num-groups", "4")),
    ],
)
def test_a_layer_is_judged_by_what_it_was_made_with(
    invoke: Run,
    parsed: Any,
    requires: Any,
    tmp_path: Path,
    library: str,
    attribute: str,
    shown: str,
    options: tuple[str, ...],
) -> None:
    """Its own parameters are those of the case; options that contradict them are refused."""
    requires(library)
    (tmp_path / "own.py").write_text(SOURCES[library])
    method = attribute.rpartition("_")[2]
    chosen = ["--method", method, "--fixture", "nchw", "--backend", f"mine=jax:own.py:{attribute}"]
    done = invoke("compare", *chosen, "--format", "json")
    assert (0, True) == (done.returncode, all(shown in row["case"] for row in parsed(done.stdout)["results"]))
    done = invoke("compare", *chosen, *options)
    assert 3 == done.returncode
    assert f"{options[0]} {options[1]}: mine is a layer with a" in done.stderr


def test_a_layer_of_another_shape_is_told_apart(invoke: Run, requires: Any, tmp_path: Path) -> None:
    requires("equinox")
    (tmp_path / "own.py").write_text("import equinox as eqx\nnorm = eqx.nn.GroupNorm(4, 16)\n")
    done = invoke("compare", "--backend", "mine=jax:own.py:norm", "--method", "group", "--fixture", "nchw")
    assert 3 == done.returncode
    assert "mine is a layer of shape (16,); this one of x (3, 8, 5, 7) is (8,)" in done.stderr


def test_each_library_has_its_layers_in_the_real_command(
    run: Run, parsed: Any, requires: Any, tmp_path: Path
) -> None:
    """A right layer and a wrong one of each, in processes of their own."""
    backends = []
    for library, source in SOURCES.items():
        requires(library)
        name = library.replace(".", "_")
        (tmp_path / f"{name}.py").write_text(source)
        backends += [f"--backend={kind}_{name}=jax:{name}.py:{kind}_batch" for kind in ("wrapped", "wrong")]
    done = run("compare", *backends, "--method", "batch", "--fixture", "nchw", "--format", "json")
    assert done.stdout, done.stderr
    found: dict[str, set[str]] = {"wrapped": set(), "wrong": set()}
    for row in parsed(done.stdout)["results"]:
        found[row["backend"].partition("_")[0]].add(row["verdict"])
    assert (1, {"wrapped": {"pass"}, "wrong": {"pass", "fail"}}) == (done.returncode, found)
