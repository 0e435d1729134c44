"""What a worker makes of an implementation: its outputs, or what is wrong with the call, whatever the function does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import host, judged

from normcheck.backends._base import Backend, NotAnArrayError, Tagged, Task
from normcheck.backends.numpy import NumPy, NumPyArrays
from normcheck.case import Mode
from normcheck.verdict import Verdict
from normcheck.worker.compute import BLOCK, Worker
from normcheck.worker.serve import reply_to

Function = Callable[..., Any]


def right(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    """Layer norm of all axes but the first, without a mistake."""
    axes = tuple(range(1, x.ndim))
    d = x - x.mean(axes, keepdims=True)
    return d / np.sqrt(np.square(d).mean(axes, keepdims=True) + x.dtype.type(eps)) * weight + bias


def with_result(change: Callable[[Any, Any], Any]) -> Worker:
    """A layer norm that returns ``change(y, x)``."""
    return Worker(NumPy({}), lambda x, weight, bias, *, eps: change(right(x, weight, bias, eps=eps), x))


def verdict_on(worker: Worker, **selection: Any) -> tuple[Verdict, str]:
    """The verdict on y of one case, and the reason."""
    (result,) = judged(worker, gradients=False, **selection)
    return result.verdict, result.reason or ""


def test_the_right_function_that_all_these_spoil_passes() -> None:
    assert (Verdict.PASS, "") == verdict_on(with_result(lambda y, x: y))


# --- wrong results -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda y, x: 0 * y, id="zeros"),
        pytest.param(lambda y, x: x, id="x itself"),
        pytest.param(lambda y, x: x.copy(), id="a copy of x"),
        pytest.param(lambda y, x: y[::-1], id="samples in another order"),
        pytest.param(lambda y, x: -y, id="the wrong sign"),
        pytest.param(lambda y, x: y + np.float32(1e-4) * np.sin(y * 1e3), id="noise of a ten-thousandth"),
    ],
)
def test_a_wrong_result_fails_by_its_backward_error(change: Function) -> None:
    verdict, reason = verdict_on(with_result(change))
    assert Verdict.FAIL is verdict
    assert "backward error" in reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda y, x: None, "was not returned", id="None"),
        pytest.param(lambda y, x: y.tolist(), "is a list, not a numpy array", id="a list"),
        pytest.param(lambda y, x: (y,), "is a tuple", id="a tuple"),
        pytest.param(lambda y, x: (y, None, None), "is a tuple", id="a tuple of three"),
        pytest.param(lambda y, x: {"y": y}, "is a dict", id="a dict"),
        pytest.param(lambda y, x: 0.5, "is a float", id="a float"),
        pytest.param(lambda y, x: (row for row in y), "is a generator", id="a generator"),
        pytest.param(lambda y, x: x.dtype.type(0), "has shape ()", id="a scalar"),
        pytest.param(lambda y, x: y.T, "has shape (12, 16), expected (16, 12)", id="transposed"),
        pytest.param(lambda y, x: y[:, :1], "has shape (16, 1)", id="what would broadcast"),
        pytest.param(lambda y, x: y.astype("f8"), "has dtype float64, expected float32", id="float64"),
        pytest.param(lambda y, x: y > 0, "has dtype bool", id="booleans"),
        pytest.param(lambda y, x: y.astype("c8"), "has dtype complex64", id="complex numbers"),
        pytest.param(lambda y, x: y.astype(object), "has dtype object", id="objects"),
        pytest.param(lambda y, x: y.astype(str), "has dtype str", id="strings"),
        pytest.param(lambda y, x: np.zeros(y.shape, [("a", "f4")]), "has dtype void", id="records"),
    ],
)
def test_what_is_no_array_of_the_right_kind_fails(change: Function, reason: str) -> None:
    verdict, found = verdict_on(with_result(change))
    assert Verdict.FAIL is verdict
    assert reason in found


# --- how it behaves ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x", "weight", "bias"])
def test_changing_an_input_fails_though_the_result_is_right(name: str) -> None:
    def changing(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
        y = right(x, weight, bias, eps=eps)
        {"x": x, "weight": weight, "bias": bias}[name][:] = 0
        return y

    found = verdict_on(Worker(NumPy({}), changing))
    assert (Verdict.FAIL, f"the call changed its input {name}") == found


def test_normalizing_in_place_fails() -> None:
    def in_place(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
        x[:] = right(x, weight, bias, eps=eps)
        return x

    found = verdict_on(Worker(NumPy({}), in_place))
    assert (Verdict.FAIL, "the call changed its input x") == found


def test_the_callers_arrays_stay_as_they_are() -> None:
    def changing(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
        x[:] = 0
        return x

    given = inputs()
    Worker(NumPy({}), changing).compute(task(), given)
    assert given["x"][1].any()


def alternating(change: float) -> Function:
    calls: list[None] = []

    def norm(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
        calls.append(None)
        return right(x, weight, bias, eps=eps) * np.float32(1 + len(calls) % 2 * change)

    return norm


def test_a_result_that_changes_from_call_to_call_fails() -> None:
    verdict, reason = verdict_on(Worker(NumPy({}), alternating(1e-6)))
    assert (Verdict.FAIL, "differs when the same call is made twice") == (verdict, reason)


def test_a_result_that_stays_is_steady() -> None:
    assert Verdict.PASS is verdict_on(Worker(NumPy({}), alternating(0)))[0]


def test_a_difference_is_seen_beyond_the_first_block() -> None:
    last = np.zeros(3 * BLOCK // 4, np.float32)

    def norm(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
        last[-1] += 1
        return last.copy()

    assert ["y"] == Worker(NumPy({}), norm).compute(task(), inputs())["nondeterministic"]


def test_an_output_that_comes_once_only_is_nondeterministic() -> None:
    given = iter([np.ones((2, 3), np.float32), None])
    reply = Worker(NumPy({}), lambda x, weight, bias, *, eps: next(given)).compute(task(), inputs())
    assert ["y"] == reply["nondeterministic"]


def test_a_result_in_the_memory_of_the_last_one_fails() -> None:
    held = np.zeros((16, 12), np.float32)

    def reusing(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
        held[:] = right(x, weight, bias, eps=eps)
        return held

    verdict, reason = verdict_on(Worker(NumPy({}), reusing))
    assert (Verdict.FAIL, "shares memory with the previous result and overwrites it") == (verdict, reason)


# --- running statistics ------------------------------------------------------------------------------------

STATE = ["running_mean", "running_var"]


def task(method: str = "layer", outputs: tuple[str, ...] = ("y",), **changes: Any) -> Task:
    """A case as a worker gets it; batch norm keeps running statistics."""
    params = {"eps": 1e-5, **({"channel_axis": 1, "momentum": 0.1} if method == "batch" else {})}
    plain = Task("c", method, "train", "float32", "contiguous", 1, params, list(outputs))
    return plain._replace(**changes)


def inputs(**arrays: Any) -> dict[str, Tagged]:
    """A small x, weight, bias and running statistics, and what ``arrays`` adds to them."""
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = {"x": x, "weight": np.ones(3), "bias": np.zeros(3)}
    found |= {"running_mean": np.zeros(3), "running_var": np.ones(3), **arrays}
    return {name: ("float32", np.asarray(array, np.float32)) for name, array in found.items()}


def batch_reply(function: Function, **changes: Any) -> dict[str, Any]:
    chosen = task("batch", ("y", *STATE))._replace(**changes)
    return Worker(NumPy({}), function).compute(chosen, inputs())


def returning(
    x: Any, weight: Any, bias: Any, *, training: bool, momentum: float, running_mean: Any, running_var: Any
) -> Any:
    return x, running_mean + 1, running_var + 2


def updating(
    x: Any, weight: Any, bias: Any, *, training: bool, momentum: float, running_mean: Any, running_var: Any
) -> Any:
    running_mean += 1
    running_var += 2
    return x


@pytest.mark.parametrize("function", [returning, updating], ids=["returned", "updated in place"])
def test_running_statistics_are_outputs_however_they_are_given_back(function: Function) -> None:
    reply = batch_reply(function)
    assert ([1.0] * 3, [3.0] * 3) == tuple(reply["outputs"][name][1].tolist() for name in STATE)
    assert ([], []) == (reply["absent"], reply["changed"])


def test_running_statistics_that_are_not_taken_are_absent() -> None:
    reply = batch_reply(lambda x, weight, bias, *, eps: x)
    assert (STATE, ["y"]) == (reply["absent"], list(reply["outputs"]))


def test_running_statistics_that_are_taken_without_a_momentum_are_absent() -> None:
    reply = batch_reply(lambda x, weight, bias, *, training, running_mean, running_var: x)
    assert STATE == reply["absent"]


def test_a_function_that_takes_a_momentum_has_running_statistics_though_it_leaves_them_alone() -> None:
    reply = batch_reply(lambda x, weight, bias, *, training, momentum, running_mean, running_var: x)
    assert ([0.0] * 3, [1.0] * 3) == tuple(reply["outputs"][name][1].tolist() for name in STATE)
    assert [] == reply["absent"]


def test_a_function_for_inference_alone_has_no_training_mode() -> None:
    def norm(x: Any, weight: Any, bias: Any, *, running_mean: Any, running_var: Any) -> Any:
        return x

    assert "no training mode" in batch_reply(norm)["message"]
    assert "cannot be trained" in batch_reply(norm, mode="eval", steps=2)["message"]
    assert "ok" == batch_reply(norm, mode="eval", outputs=["y"], steps=0)["status"]


@pytest.mark.parametrize("function", [returning, updating], ids=["returned", "updated in place"])
def test_each_training_step_goes_on_from_the_last_one(function: Function) -> None:
    reply = batch_reply(function, steps=4)
    assert ([4.0] * 3, [9.0] * 3) == tuple(reply["outputs"][name][1].tolist() for name in STATE)


def test_before_eval_mode_come_the_training_steps() -> None:
    modes: list[bool] = []

    def norm(
        x: Any, weight: Any, bias: Any, *, momentum: Any, training: Any, running_mean: Any, running_var: Any
    ) -> Any:
        modes.append(training)
        return x

    batch_reply(norm, mode="eval", steps=2)
    assert [True, True, False] * 2 == modes  # the call is made twice


def updated_and_returned(
    x: Any, weight: Any, bias: Any, *, momentum: float, training: bool, running_mean: Any, running_var: Any
) -> Any:
    return x, running_mean + 1, running_var


@pytest.mark.parametrize(
    ("function", "changed"),
    [(updating, STATE), (updated_and_returned, STATE[:1])],
    ids=["in place", "returned"],
)
def test_running_statistics_that_eval_mode_updates_are_changed_inputs(
    function: Function, changed: list[str]
) -> None:
    assert changed == batch_reply(function, mode="eval", outputs=["y"], steps=0)["changed"]


def test_training_may_update_them() -> None:
    assert [] == batch_reply(updating)["changed"]


BATCH_RETURNS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "two values": (lambda x: (x, x), "one of 2 values"),
    "no value": (lambda x: (), "one of 0 values"),
    "three times None": (lambda x: (None, None, None), "was not returned"),
}


@pytest.mark.parametrize("name", BATCH_RETURNS)
def test_batch_norm_that_returns_another_number_of_values_fails(name: str) -> None:
    returned, reason = BATCH_RETURNS[name]
    worker = Worker(
        NumPy({}), lambda x, weight, bias, *, eps, running_mean, running_var, training: returned(x)
    )
    found = judged(worker, method="batch", gradients=False)[0]
    assert Verdict.FAIL is found.verdict
    assert reason in (found.reason or "")


# --- gradients ---------------------------------------------------------------------------------------------

GRADIENTS = ["grad_x", "grad_weight", "grad_bias"]


def gradient_reply(backend: Backend) -> dict[str, Any]:
    function = lambda x, weight, bias, *, eps: x  # noqa: E731
    return Worker(backend, function).compute(task(outputs=("y", *GRADIENTS)), inputs(grad_y=np.ones((2, 3))))


def test_gradients_that_the_host_does_not_have_are_absent() -> None:
    reply = gradient_reply(NumPy({}))
    assert (GRADIENTS, {}) == (reply["absent"], reply["errors"])


def test_a_differentiation_that_fails_is_an_error_of_the_gradients_alone() -> None:
    class Failing(NumPy):
        def differentiate(self, *call: Any) -> Any:
            return call[2][0], None, RuntimeError("no graph")

    reply = gradient_reply(Failing({}))
    assert dict.fromkeys(GRADIENTS, "could not be differentiated: RuntimeError: no graph") == reply["errors"]
    assert (["y"], []) == (list(reply["outputs"]), reply["absent"])


def test_gradients_are_outputs_and_one_that_is_none_was_not_returned() -> None:
    class Differentiating(NumPy):
        def differentiate(self, *call: Any) -> Any:
            x = call[2][0]
            return x, {"grad_x": x + 1, "grad_weight": None, "grad_bias": [0.0]}, None

    reply = gradient_reply(Differentiating({}))
    assert ["y", "grad_x"] == list(reply["outputs"])
    assert {"grad_bias": "is a list, not a numpy array"} == reply["problems"]
    assert [] == reply["absent"]


def test_a_torch_function_that_cannot_be_differentiated_is_an_error_of_its_gradients(requires: Any) -> None:
    requires("torch")
    found = judged(Worker(host("torch"), lambda x, weight, bias, *, eps: x.detach()))
    assert {
        "y": Verdict.FAIL,
        **dict.fromkeys(GRADIENTS, Verdict.ERROR),
    } == {str(result.output): result.verdict for result in found}
    assert all("could not be differentiated" in (r.reason or "") for r in found[1:])


# --- no result ---------------------------------------------------------------------------------------------


def raising(error: BaseException) -> Worker:
    def norm(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
        raise error

    return Worker(NumPy({}), norm)


def recursive(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    return recursive(x, weight, bias, eps=eps)


@pytest.mark.parametrize(
    ("worker", "reason"),
    [
        pytest.param(raising(ValueError("no such norm")), "ValueError: no such norm", id="an exception"),
        pytest.param(raising(KeyError()), "KeyError", id="one without a message"),
        pytest.param(raising(ValueError("\ud800")), "ValueError", id="one whose text is no Unicode"),
        pytest.param(raising(BaseException("odd")), "BaseException: odd", id="a bare BaseException"),
        pytest.param(raising(SystemExit(0)), "SystemExit: 0", id="SystemExit"),
        pytest.param(Worker(NumPy({}), recursive), "RecursionError", id="endless recursion"),
        pytest.param(with_result(lambda y, x: np.zeros(2**46)), "Memory", id="all memory"),
    ],
)
def test_whatever_is_raised_is_an_error(worker: Worker, reason: str) -> None:
    verdict, found = verdict_on(worker)
    assert Verdict.ERROR is verdict
    assert reason in found


def test_an_interruption_is_no_answer() -> None:
    with pytest.raises(KeyboardInterrupt):
        reply_to(raising(KeyboardInterrupt()), task(), inputs())


def test_the_traceback_is_the_users_and_nothing_of_ours() -> None:
    reply = reply_to(raising(ValueError("deep down")), task(), inputs())
    assert "deep down" in reply["traceback"]
    assert Path(__file__).name in reply["traceback"]
    assert "normcheck/worker" not in reply["traceback"]


# --- what is not computed ----------------------------------------------------------------------------------


def test_what_the_adapter_does_not_support_is_not_called() -> None:
    class Without(NumPy):
        METHODS = {"layer": right}  # noqa: RUF012 (a mapping in every adapter)

        def unsupported(self, task: Task, shape: tuple[int, ...]) -> str | None:
            return f"takes no x of {len(shape)} axes"

    reply = Worker(Without({}), None).compute(task(), inputs())
    assert {"status": "unsupported", "message": "takes no x of 2 axes"} == reply


def test_a_signature_without_what_the_case_needs_is_unsupported() -> None:
    worker = Worker(NumPy({}), lambda x, weight, bias, *, eps: x)
    (result,) = judged(worker, method="batch", modes=[Mode.EVAL], gradients=False)
    assert Verdict.UNSUPPORTED is result.verdict
    assert "has no eval mode" in (result.reason or "")


class Expecting(NumPy):
    """An adapter that expects an error of its layer norm."""

    def expected_error(self, task: Task, shape: tuple[int, ...]) -> str | None:
        return "one value for each channel"


def test_an_expected_error_is_called_and_shown() -> None:
    class Raising(Expecting):
        METHODS = {"layer": raising(ValueError("more than 1 value")).own}  # noqa: RUF012

    reply = Worker(Raising({}), None).compute(task(), inputs())
    message = "one value for each channel: ValueError: more than 1 value"
    assert {"status": "unsupported", "message": message} == reply


def test_an_expected_error_that_does_not_come_is_an_error() -> None:
    reply = Worker(Expecting({}), None).compute(task(params={"eps": 1e-5, "normalized_ndim": 1}), inputs())
    message = "expected an error (one value for each channel), but the call succeeded"
    assert {"status": "error", "message": message, "traceback": ""} == reply


class SingleOnly(NumPyArrays):
    """An adapter of a library whose layer norm and RMS norm have no half precision, and the latter no bias."""

    NO_BIAS = ("rms",)

    def expected_error(self, task: Task, shape: tuple[int, ...]) -> str | None:
        return "no half precision" if self.within(task).dtype == "float16" else None

    def layer_norm(self, x: Any, weight: Any, bias: Any, params: Any) -> Any:
        if x.dtype == np.float16:
            raise TypeError("no kernel for float16")
        return x if weight is None else x * weight

    rms_norm = layer_norm


@pytest.mark.parametrize(
    ("method", "given", "status"),
    [
        ("layer", {"weight": (3,)}, "unsupported"),
        ("layer", {"weight": (2, 3)}, "ok"),
        ("layer", {"weight": (3,), "bias": (2, 3)}, "ok"),
        ("rms", {"weight": (3,)}, "unsupported"),
        ("rms", {"weight": (3,), "bias": (3,)}, "ok"),
    ],
)
def test_what_is_applied_after_a_layer_has_it_compute_in_float32(
    method: str, given: dict[str, tuple[int, ...]], status: str
) -> None:
    """An adapter expects no error then that its library raises in half precision."""
    case = task(method=method, dtype="float16", params={"eps": 1e-5, "normalized_ndim": 1})
    arrays = {name: ("float16", np.ones(shape, np.float16)) for name, shape in {"x": (2, 3), **given}.items()}
    reply = Worker(SingleOnly({}), None).compute(case, arrays)
    assert status == reply["status"], reply
    ignored = case._replace(convention={"weight": "ignored", "bias": "ignored"})
    assert "unsupported" == Worker(SingleOnly({}), None).compute(ignored, arrays)["status"]


def test_an_expected_error_that_is_an_exit_is_no_refusal() -> None:
    class Exiting(Expecting):
        METHODS = {"layer": lambda *arrays, **static: sys.exit(0)}  # noqa: RUF012

    with pytest.raises(SystemExit):
        Worker(Exiting({}), None).compute(task(), inputs())


def test_a_running_statistic_that_is_no_array_any_more_was_updated() -> None:
    """In eval mode; what cannot be read is not what it was."""

    class Strict(NumPy):
        def to_numpy(self, value: Any) -> Tagged:
            if isinstance(value, str):
                raise NotAnArrayError("is a str")
            return super().to_numpy(value)

    def norm(
        x: Any, weight: Any, bias: Any, *, eps: Any, training: Any, running_mean: Any, running_var: Any
    ) -> Any:
        return x, "gone", running_var

    chosen = task("batch", mode="eval", steps=0)
    assert ["running_mean"] == Worker(Strict({}), norm).compute(chosen, inputs())["changed"]
