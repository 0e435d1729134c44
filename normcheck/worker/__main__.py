"""The child process: hosts one backend, computes the cases that come in, sends the outputs back.

Started as ``python -m normcheck.worker FD DIRECTORY SPEC`` by :mod:`normcheck.worker.client`, never by its
path. What frameworks and users' code print goes to stderr, which the parent keeps.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import queue
import socket
import sys
import threading
import time
from typing import Any, Dict, Optional, Tuple

import numpy as np

from normcheck.backends import BUILTIN
from normcheck.backends._base import Backend, NotAnArrayError, Tagged, Task
from normcheck.worker import frames, target

BATCH_OUTPUTS = ("y", "running_mean", "running_var")


class Worker:
    """One backend, or a user's implementation hosted by it, and how to compute a case with it."""

    def __init__(self, backend: Backend, own: Optional[Any]) -> None:
        self.backend = backend
        self.own = own

    def compute(self, task: Task, inputs: Dict[str, Tagged]) -> Dict[str, Any]:
        """The reply to ``task``: its outputs, or why there are none."""
        arrays = {name: data for name, (_, data) in inputs.items()}
        self.backend.configure(task)
        shape = arrays["x"].shape
        if self.own is None:
            function, static = self.backend.METHODS[task.method], dict(task.params)
            reason = self.backend.unsupported(task, shape)
            if task.method == "layer":
                static.pop("channel_axis", None)
        else:
            function = target.as_function(self.own)
            static, reason = target.keywords(function, task, shape[task.params.get("channel_axis", 1)])
        if reason is not None:
            return {"status": "unsupported", "message": reason}
        compiled = self.backend.compiled if self.own is None else _as_written
        before = {name: _fingerprint(array) for name, array in arrays.items()}
        native = [
            self.backend.from_numpy(arrays[name]) if name in arrays else None
            for name in ("x", "weight", "bias")
        ]
        start = time.perf_counter()
        returned = compiled(function, static)(*native)
        reply = self._outputs(task, returned)
        reply["seconds"] = time.perf_counter() - start
        reply["changed"] = [name for name, array in arrays.items() if _fingerprint(array) != before[name]]
        return reply

    def _outputs(self, task: Task, returned: Any) -> Dict[str, Any]:
        """The arrays that a function returned, by name; what is no array is a problem to report."""
        values: Tuple[Any, ...] = (returned,)
        if isinstance(returned, tuple) and task.method == "batch":
            values = returned
        outputs: Dict[str, Tagged] = {}
        problems: Dict[str, str] = {}
        if len(values) not in (1, len(BATCH_OUTPUTS)):
            problems["y"] = (
                f"is one of {len(values)} values returned; batch norm returns 1 or {len(BATCH_OUTPUTS)}"
            )
            values = ()
        for name, value in zip(BATCH_OUTPUTS, values):
            if value is None or name not in task.outputs:
                continue
            try:
                dtype, array = self.backend.to_numpy(value)
            except NotAnArrayError as error:
                problems[name] = str(error)
                continue
            if dtype not in frames.DTYPES:
                problems[name] = f"has dtype {dtype}"
                continue
            outputs[name] = (dtype, array)
        return {"status": "ok", "outputs": outputs, "problems": problems}


def _as_written(function: Any, static: Dict[str, Any]) -> Any:
    return lambda *arrays: function(*arrays, **static)


def _fingerprint(array: np.ndarray[Any, Any]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).digest()


def _serve(sock: socket.socket, directory: str, spec: Dict[str, Any]) -> None:
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sock, directory, inbox), daemon=True).start()
    try:
        backend: Any = importlib.import_module(BUILTIN[spec["host"]].module)
        environment = backend.environment()
    except Exception as error:  # a framework that cannot be imported, for whatever reason
        reason = f"{spec['host']} cannot be imported: {target.summary(error)}"
        frames.send(sock, {"kind": "unavailable", "message": reason})
        return
    frames.send(sock, {"kind": "ready", "environment": environment})
    own = None
    if spec.get("target"):
        try:
            own = target.load(spec["target"])
        except target.BadTargetError as error:
            frames.send(sock, {"kind": "bad target", "message": str(error), "traceback": error.details})
            return
        frames.send(sock, {"kind": "loaded"})
    worker = Worker(backend, own)
    while True:
        header, inputs = inbox.get()
        reply = _answer(worker, Task(**header["task"]), inputs)
        _flush()
        outputs = reply.pop("outputs", {})
        frames.send(
            sock, {"kind": "result", "number": header["number"], **reply}, frames.pack(outputs, directory)
        )


def _answer(worker: Worker, task: Task, inputs: Dict[str, Tagged]) -> Dict[str, Any]:
    try:
        return worker.compute(task, inputs)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a case that raises has no result, whatever it raises
        return {
            "status": "error",
            "message": target.summary(error),
            "traceback": target.users_traceback(error),
        }


def _listen(sock: socket.socket, directory: str, inbox: queue.SimpleQueue[Any]) -> None:
    """Hand on what comes in; end the process with the parent, even in the middle of a computation."""
    try:
        while True:
            inbox.put(frames.receive(sock, directory, keep_files=True))
    except (EOFError, OSError):
        os._exit(0)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # the user's code may have closed or replaced it
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()


def main() -> None:
    """Serve the parent at the other end of the socket until it hangs up."""
    descriptor, directory, spec = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    os.set_inheritable(descriptor, False)
    sys.argv[:] = ["normcheck-worker"]
    with socket.socket(fileno=descriptor) as sock:
        _serve(sock, directory, spec)


if __name__ == "__main__":
    main()
