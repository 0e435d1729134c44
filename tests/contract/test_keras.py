"""Keras on each of its backends, and one's own Keras layers as targets."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import Commands
from driver import compare, wrong
from support import Completed, in_one_place, require_backend

from normcheck import backends
from normcheck.backends import BUILTIN
from normcheck.case import Output
from normcheck.dtype import DType

pytestmark = pytest.mark.usefixtures("kept_workers")
SOUND = ("jax", "tensorflow")  # whose variance is that of the deviations


UNDER = BUILTIN["keras"].options["backend"]


GRADIENTS = {Output.GRAD_X, Output.GRAD_WEIGHT, Output.GRAD_BIAS}


OWN = """
import keras

EPS, MOMENTUM = 1e-5, 0.9
batch = keras.layers.BatchNormalization(axis=1, epsilon=EPS, momentum=MOMENTUM)
batch_last = keras.layers.BatchNormalization(epsilon=EPS, momentum=MOMENTUM)
batch_built = keras.layers.BatchNormalization(axis=1, epsilon=EPS, momentum=MOMENTUM)
batch_built.build((None, 8, None, None))
batch_within = keras.Sequential([keras.layers.BatchNormalization(epsilon=EPS, momentum=MOMENTUM)])
layer = keras.layers.LayerNormalization(axis=[1, 2, 3], epsilon=EPS)
instance = keras.layers.GroupNormalization(-1, axis=1, epsilon=EPS)
group = keras.layers.GroupNormalization(4, epsilon=EPS)
other_eps = keras.layers.GroupNormalization(4)
other_groups = keras.layers.GroupNormalization(2, epsilon=EPS)
other_layer_eps = keras.layers.LayerNormalization(axis=[1, 2, 3], epsilon=1e-4)
other_momentum = keras.layers.BatchNormalization(axis=1, epsilon=EPS, momentum=0.1)
no_scale = keras.layers.GroupNormalization(4, epsilon=EPS, scale=False)


class WrongGroup(keras.layers.GroupNormalization):
    def call(self, x):
        return super().call(x) * 1.01


class WrongLayer(keras.layers.LayerNormalization):
    def call(self, x):
        return super().call(x) * 1.01


wrong_group = WrongGroup(4, epsilon=EPS)
wrong_layer = WrongLayer(axis=[1, 2, 3], epsilon=EPS)


class Wrapped(keras.Layer):
    def __init__(self):
        super().__init__()
        self.norm = keras.layers.GroupNormalization(4, epsilon=EPS)

    def call(self, x):
        return self.norm(x)


group_wrapped = Wrapped()


def function(x, weight, bias, *, eps, num_groups):
    shape = (x.shape[0], num_groups, -1)
    rows = keras.ops.reshape(x, shape)
    rows = rows - keras.ops.mean(rows, axis=-1, keepdims=True)
    rows = rows / keras.ops.sqrt(keras.ops.mean(rows * rows, axis=-1, keepdims=True) + eps)
    along = (1, -1, 1, 1)
    return keras.ops.reshape(rows, x.shape) * weight.reshape(along) + bias.reshape(along)
"""


@pytest.fixture(params=in_one_place("keras on", UNDER))
def under(request: pytest.FixtureRequest) -> str:
    require_backend("keras")
    reason = backends.missing("keras", {"backend": request.param})
    if reason is not None:
        pytest.skip(reason)
    return str(request.param)


def on(under: str, target: str = "") -> str:
    return f"keras[backend={under}]{target}"


def test_the_option_is_the_framework_that_computes(under: str) -> None:
    report = compare(fixtures=["nchw"], backend=on(under))
    assert [] == wrong(report)
    facts = report.environment.backends[on(under)]
    assert facts["backend"].startswith(f"{under} ")
    assert (under != "numpy") == bool(GRADIENTS & {r.output for r in report.results})


def test_half_precision_passes_with_parameters_of_either_dtype(under: str) -> None:
    halves = ["float16", "bfloat16"]
    methods = ["batch", "layer", "instance", "group"]  # see docs/findings/keras-rms-norm-mixed-precision.py
    assert [] == wrong(compare(methods, fixtures=["nchw", "mixed"], backend=on(under), dtype=halves))
    assert [] == wrong(compare("rms", fixtures=["nchw"], backend=on(under), dtype=halves))


def test_eval_mode_and_several_steps_pass(under: str) -> None:
    report = compare("batch", fixtures=["nhwc", "steps"], backend=on(under), mode="eval")
    assert [] == wrong(report)


def test_an_offset_of_ten_thousand_is_nan_where_the_variance_has_one_pass(under: str) -> None:
    report = compare(["batch", "group"], fixtures=["offset-1e4"], backend=on(under), mode="train")
    reasons = [r.reason or "" for r in report.results if r.output is Output.Y]
    assert len(reasons) == len(["batch", "group"])
    assert (under not in SOUND) == all("is nan where the oracle has" in reason for reason in reasons)


def test_float64_is_computed_in_float32_except_on_tensorflow(under: str) -> None:
    report = compare(fixtures=["nchw"], backend=on(under), dtype="float64")
    y = [r for r in report.results if r.output is Output.Y]
    assert {DType.FLOAT64} == {r.case.dtype for r in y}
    for r in y:
        assert r.backward_error is not None
        assert (under == "tensorflow") == (r.backward_error < 1e6), (
            r.case.id
        )  # float32 is about 5e8 roundoffs off


PASSING = [
    *(("batch", name) for name in ("batch", "batch_last", "batch_built", "batch_within")),
    ("layer", "layer"),
    ("instance", "instance"),
    *(("group", name) for name in ("group", "group_wrapped")),
]


@pytest.fixture(scope="module")
def commands() -> Iterator[Callable[[str], Commands]]:
    """A process for each backend of Keras, of which a process has one; the last one that was asked for stays."""
    started: dict[str, Commands] = {}

    def commands(under: str) -> Commands:
        if under not in started:
            while started:
                started.popitem()[1].close()
            started[under] = Commands(KERAS_BACKEND=under)
        return started[under]

    yield commands
    for each in started.values():
        each.close()


@pytest.fixture
def own(
    commands: Callable[[str], Commands], run: Callable[..., Completed], parsed: Any, tmp_path: Path
) -> Callable[..., list[dict[str, Any]]]:
    """The results of one's own layer."""
    (tmp_path / "own.py").write_text(OWN)

    def results(under: str, method: str, name: str, *options: str) -> list[dict[str, Any]]:
        target = f"mine={on(under)}:own.py:{name}"
        chosen = ["--method", method, "--fixture", "nchw", *options]
        chosen += ["--normalized-ndim", "3"] if method == "layer" else []
        # TensorFlow, which has one test, is the one that runs as users run it
        command = run if under == "tensorflow" else functools.partial(commands(under).run, cwd=tmp_path)
        report = parsed(command("compare", "--backend", target, "--format", "json", *chosen).stdout)
        found = [row for row in report["results"] if row["backend"] == "mine"]
        assert found
        return found

    return results


@pytest.mark.parametrize(
    ("under", "method", "name"),
    [
        *(("numpy", *each) for each in PASSING),  # whose import costs the least
        *(("jax", *PASSING[at]) for at in (3, 4, 7)),
        *((other, *PASSING[3]) for other in ("torch", "tensorflow")),
    ],
    indirect=["under"],
)
def test_ones_own_layer_passes_with_gradients_and_moving_statistics(
    under: str, own: Any, method: str, name: str
) -> None:
    results = own(under, method, name)
    assert [] == [(row["output"], row["reason"]) for row in results if row["verdict"] != "pass"]
    expected = {"y"}
    expected |= {"grad_x", "grad_weight", "grad_bias"} if under != "numpy" else set()
    expected |= {"running_mean", "running_var"} if method == "batch" else set()
    assert expected == {row["output"] for row in results}


@pytest.mark.parametrize(
    ("under", "name"),
    [("numpy", "batch"), ("numpy", "batch_last"), ("jax", "batch_last")],
    indirect=["under"],
)
def test_the_training_argument_makes_eval_mode(under: str, own: Any, name: str) -> None:
    assert {"pass"} == {row["verdict"] for row in own(under, "batch", name, "--mode", "eval")}


@pytest.mark.xdist_group("keras on jax")
def test_ones_own_function_gets_the_arrays_of_the_framework(own: Any) -> None:
    require_backend("keras")
    results = own("jax", "group", "function")
    assert {"y", "grad_x", "grad_weight", "grad_bias"} == {row["output"] for row in results}
    assert {"pass"} == {row["verdict"] for row in results}


@pytest.mark.parametrize(
    ("under", "method", "name", "output"),
    [
        ("numpy", "group", "wrong_group", "y"),
        ("jax", "group", "wrong_group", "y"),
        ("torch", "layer", "wrong_layer", "grad_x"),
    ],
    indirect=["under"],
)
def test_a_wrong_layer_fails(under: str, own: Any, method: str, name: str, output: str) -> None:
    (row,) = [row for row in own(under, method, name) if row["output"] == output]
    assert "fail" == row["verdict"]


@pytest.mark.parametrize(
    ("under", "method", "name", "shown"),
    [
        ("numpy", "group", "other_eps", "eps=0.001"),
        ("jax", "group", "other_groups", "num_groups=2"),
        ("torch", "layer", "other_layer_eps", "eps=0.0001"),
        ("numpy", "batch", "other_momentum", "momentum=0.9"),
    ],
    indirect=["under"],
)
def test_a_layer_is_judged_by_what_it_was_made_with(
    under: str, own: Any, method: str, name: str, shown: str
) -> None:
    rows = own(under, method, name)
    assert {"pass"} == {row["verdict"] for row in rows}
    assert all(shown in row["case"] for row in rows)


@pytest.mark.xdist_group("keras on jax")
def test_a_layer_without_a_scale_is_given_none(own: Any) -> None:
    require_backend("keras")
    rows = own("jax", "group", "no_scale")
    assert {"y": "pass", "grad_x": "pass", "grad_bias": "pass"} == {r["output"]: r["verdict"] for r in rows}


@pytest.mark.parametrize("host", ["numpy", "torch", "jax"])
def test_another_host_says_to_use_the_host_keras(
    run: Callable[..., Completed], tmp_path: Path, host: str
) -> None:
    require_backend("keras")
    require_backend(host)
    (tmp_path / "own.py").write_text(OWN)
    chosen = ["--method", "group", "--fixture", "nchw", "--backend", f"mine={host}:own.py:group"]
    done = run("compare", *chosen, KERAS_BACKEND=host)
    assert 3 == done.returncode
    assert f"is a Keras layer, which {host} does not call: use the host keras" in done.stderr
    assert "keras:own.py:group" in done.stderr
