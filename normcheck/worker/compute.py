"""Compute one case with one backend: call it on copies, differentiate it, and look at how it behaved."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from normcheck.backends._base import GRADIENTS, Backend, NotAnArrayError, Tagged, Task, laid_out
from normcheck.backends._faults import known_fault
from normcheck.worker import expressed, frames, signature, target
from normcheck.worker.layer import Layer, layer_of, normalized_axes

ARRAYS = ("x", "weight", "bias")
STATE = ("running_mean", "running_var")
BLOCK = 2**20  # bytes that are compared at a time

Reply = Dict[str, Any]
Inputs = Dict[str, Tagged]


class Worker:
    """One backend, or a user's implementation hosted by it, and how to compute a case with it."""

    def __init__(self, backend: Backend, own: Optional[Any]) -> None:
        self.backend = backend
        self.last: Mapping[str, Tagged] = {}  # outputs of the last task that was computed once
        self.layer: Optional[Layer] = None if own is None else layer_of(backend, own)
        is_layer = self.layer is not None
        self.own = None if own is None else signature.Bound(backend.as_function(own), is_layer=is_layer)

    def check(self) -> None:
        """Raise UnknownParameterError where the user's function needs what no case has."""
        if self.own is not None:
            self.own.check()

    def compute(self, task: Task, inputs: Inputs) -> Reply:
        """The reply to ``task``: its outputs, or why there are none.

        It is computed twice, on copies: a second call that gives something else, or writes over what the
        first one returned, says that the first was an accident. Arrays may be most of the memory that there is:
        a call's copies go when it has returned, the second one's outputs as they are compared. A task that is to be
        computed once is sent again: then the call before is looked at, and whether bits differ is not for this side.
        """
        task = task._replace(arrays=tuple(inputs), by_sample=_by_sample(task, inputs))
        self.backend.configure(task)
        shape = inputs["x"][1].shape
        state: Tuple[str, ...] = STATE if task.tracks else ()
        claimed = state
        if self.own is None:
            task = expressed.adapted(task)
            function, static = self.backend.METHODS.get(task.method), target.own_keywords(task)
            reason = self.backend.unsupported(task, shape) or signature.lacks(function, task)
            if reason is None and (reason := self.backend.expected_error(task, shape)) is not None:
                return self._refusal(task, reason, function, static, state, inputs)
        else:
            function = self.own
            fits = signature.fitted(self.own, task, shape)
            static, state, claimed, reason = fits.keywords, fits.state, fits.claimed, fits.reason
            if self.layer is not None:
                reason = self.layer.refuses(task, shape) or reason
        if reason is not None:
            return {"status": "unsupported", "message": reason}
        reply = self._call(task, function, static, state, claimed, inputs)
        if task.once:
            again, self.last = dict(self.last), reply["outputs"]
        else:
            again = self._call(task, function, static, state, claimed, inputs)["outputs"]
        reply["nondeterministic"], reply["overwritten"] = [], []
        for name, (_, array) in reply["outputs"].items():
            _, second = again.pop(name, (None, None))
            if not task.once and (second is None or _differ(second, array)):
                reply["nondeterministic"].append(name)
            if second is not None and np.may_share_memory(array, second):
                reply["overwritten"].append(name)
        return reply

    def _refusal(
        self,
        task: Task,
        reason: str,
        function: Any,
        static: Dict[str, Any],
        state: Tuple[str, ...],
        inputs: Inputs,
    ) -> Reply:
        """A case for which the framework is expected to raise: it is called, to see that it does."""
        try:
            self._call(task, function, static, state, state, inputs)
        except Exception as error:
            return {"status": "unsupported", "message": f"{reason}: {target.summary(error)}"}
        message = f"expected an error ({reason}), but the call succeeded"
        return {"status": "error", "message": message, "traceback": ""}

    def _call(
        self,
        task: Task,
        function: Any,
        static: Dict[str, Any],
        state: Tuple[str, ...],
        claimed: Tuple[str, ...],
        inputs: Inputs,
    ) -> Reply:
        """Call ``function`` once on fresh copies of ``inputs``; it gets ``state``, and updates what is ``claimed``."""
        copies = {
            name: (dtype, laid_out(array, task.layout_of(name))) for name, (dtype, array) in inputs.items()
        }
        native = {name: self.backend.from_numpy(tagged) for name, tagged in copies.items()}
        if self.own is None:
            native = expressed.arrays(self.backend, task, native)
        arrays = [native.get(name) for name in ARRAYS]
        arrays += [native["residual"]] if "residual" in native else []
        named = {name: native[name] for name in state}
        start = time.perf_counter()
        if state:
            named = self._trained(task, function, static, arrays, named)
        held = {name: self.backend.to_numpy(value)[1].tobytes() for name, value in named.items()}
        gradients: Optional[Dict[str, Any]] = None
        error: Optional[BaseException] = None
        if "grad_y" in native:
            returned, gradients, error = self.backend.differentiate(
                function, static, arrays, named, native["grad_y"]
            )
        else:
            returned = self.backend.compiled(function, static)(*arrays, **named)
        kept = {name: named[name] for name in claimed}
        reply = self._outputs(task, returned, gradients, error, kept, inputs)
        reply["seconds"] = time.perf_counter() - start
        reply["changed"] = [
            name
            for name, (_, array) in inputs.items()
            if name not in STATE and _differ(array, copies[name][1])
        ]
        if task.mode == "eval":
            reply["changed"] += self._updated_in_eval(task, returned, named, held)
        return reply

    def _updated_in_eval(
        self, task: Task, returned: Any, named: Dict[str, Any], held: Dict[str, bytes]
    ) -> List[str]:
        """The running statistics that eval mode did not leave alone, in place or in what was returned."""
        after = {name: [value] for name, value in named.items()}
        values, _, _ = split_returned(task, returned)
        for name in named:
            after[name] += [values[name]] if values.get(name) is not None else []
        return [
            name
            for name, states in after.items()
            if any(self._content(state) != held[name] for state in states)
        ]

    def _content(self, value: Any) -> Optional[bytes]:
        try:
            return self.backend.to_numpy(value)[1].tobytes()
        except NotAnArrayError:
            return None

    def _trained(
        self, task: Task, function: Any, static: Dict[str, Any], arrays: List[Any], named: Dict[str, Any]
    ) -> Dict[str, Any]:
        """The running statistics after the training steps that come before the call that is looked at."""
        training = {**static, "training": True} if "training" in static else static
        for _ in range(task.steps - 1 if task.mode == "train" else task.steps):
            values, _, _ = split_returned(task, self.backend.compiled(function, training)(*arrays, **named))
            named = {name: values.get(name, value) for name, value in named.items()}
        return named

    def _outputs(
        self,
        task: Task,
        returned: Any,
        gradients: Optional[Dict[str, Any]],
        error: Optional[BaseException],
        named: Dict[str, Any],
        inputs: Inputs,
    ) -> Reply:
        """The arrays that there are, by name; what is no array is a problem to report.

        ``absent`` are outputs that the implementation does not claim to have: the running statistics of a
        function that does not take them, gradients where the host cannot differentiate. Those that it claims, and does
        not return, are ``named``: updated where they are, or not at all.
        """
        values, absent, problems = split_returned(task, returned)
        values.update({name: named[name] for name in absent if name in named})
        absent = [name for name in absent if name not in values]
        errors: Dict[str, str] = {}
        unsupported: Dict[str, str] = {}
        asked = [name for name in task.outputs if name in GRADIENTS]
        fault = None if error is None else known_fault(error, self.backend.called(returned))
        if fault is None and isinstance(error, NotImplementedError) and self.own is not None:
            fault = f"cannot be differentiated: {target.summary(error)}"
        if fault is not None:
            unsupported = dict.fromkeys(asked, fault)
        elif error is not None:
            errors = {name: f"could not be differentiated: {target.summary(error)}" for name in asked}
        elif gradients is None:
            absent += asked
        else:
            values.update(gradients)
        outputs: Dict[str, Tagged] = {}
        for name, value in values.items():
            if value is None or name not in task.outputs:
                continue
            try:
                dtype, array = self.backend.to_numpy(value)
            except NotAnArrayError as problem:
                problems[name] = str(problem)
                continue
            if dtype in frames.DTYPES:
                outputs[name] = self._narrowed(task, name, (dtype, array), inputs)
            else:
                problems[name] = f"has dtype {dtype}"
        return {
            "status": "ok",
            "outputs": outputs,
            "problems": problems,
            "errors": errors,
            "unsupported": unsupported,
            "absent": absent,
        }

    def _narrowed(self, task: Task, name: str, found: Tagged, inputs: Inputs) -> Tagged:
        """An output; the gradient of a parameter that was widened for the adapter in the dtype of the parameter."""
        given = inputs.get(name[len("grad_") :]) if name in ("grad_weight", "grad_bias") else None
        widened = self.own is None and given is not None and expressed.widens(task)
        if not widened or given is None or found[0] != "float32" or given[0] == "float32":
            return found
        native = self.backend.from_numpy(found)
        return self.backend.to_numpy(self.backend.cast(native, self.backend.from_numpy(given)))


def _by_sample(task: Task, inputs: Inputs) -> Tuple[str, ...]:
    """Of weight and bias those with an axis for the samples before those of the method."""
    axes = normalized_axes(task.params, inputs["x"][1].ndim)
    own = 1 if axes is None else len(axes)
    return tuple(name for name in ("weight", "bias") if name in inputs and inputs[name][1].ndim > own)


def _differ(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """True unless the two hold the same bits; compared in blocks, so that nothing of their size is made."""
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return True
    if a.ndim == 0 or (a.flags.c_contiguous and b.flags.c_contiguous):
        a, b = a.reshape(-1), b.reshape(-1)
    step = max(1, BLOCK // max(1, a[:1].nbytes))
    pieces = [slice(start, start + step) for start in range(0, len(a), step)]
    return not all(np.array_equal(_bits(a[piece]), _bits(b[piece])) for piece in pieces)


def _bits(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def split_returned(task: Task, returned: Any) -> Tuple[Dict[str, Any], List[str], Dict[str, str]]:
    """What was returned, by name; the running statistics that were not; and what is wrong with it."""
    state = [name for name in STATE if name in task.outputs]
    more = ["sum"] if "residual" in task.arrays else []
    if not (isinstance(returned, (tuple, list)) and (task.tracks or more)):
        return {"y": returned}, state, {}
    if len(returned) == 1 + len(more):
        return dict(zip(("y", *more), returned)), state, {}
    if task.tracks and len(returned) == 1 + len(more) + len(STATE):
        return dict(zip(("y", *more, *STATE), returned)), [], {}
    valid = [("y", *more)] + [("y", *more, *STATE)] * task.tracks
    words = " or ".join(f"({', '.join(names)})" if len(names) > 1 else "y" for names in valid)
    problem = f"is one of {len(returned)} values returned; {task.method} norm returns {words}"
    return {}, [], {"y": problem}
