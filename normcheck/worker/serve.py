"""The life of a worker: import the adapter, load the target, answer the cases that come in."""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import queue
import socket
import sys
import threading
from typing import Any, Dict, Iterable, Iterator, Tuple

from normcheck.backends._base import Backend, Tagged, Task, UnavailableError
from normcheck.backends._faults import known_fault
from normcheck.worker import frames, signature, target
from normcheck.worker.compute import Worker
from normcheck.worker.guard import Guard
from normcheck.worker.offers import differentiates, offers

Request = Tuple[Dict[str, Any], Dict[str, Tagged]]  # a frame: its header and its arrays


def serve(sock: socket.socket, spec: Dict[str, Any], requests: Iterable[Request], watch: Guard) -> None:
    """Say what the backend of ``spec`` is, and answer ``requests``, all through ``sock``.

    A candidate that is caught by ``watch`` gets no further answer than that.
    """
    try:
        with _no_collection():
            backend = adapter_of(spec)
        environment = backend.environment()
    except UnavailableError as error:
        frames.send(sock, {"kind": "unavailable", "message": str(error)})
        return
    except Exception as error:  # a framework that cannot be imported, for whatever reason
        reason = f"{spec['host']} cannot be imported: {target.summary(error)}"
        frames.send(sock, {"kind": "unavailable", "message": reason})
        return
    ready: Dict[str, Any] = {
        "kind": "ready",
        "environment": environment,
        "offers": offers(backend, spec["methods"]),
    }
    # said before the user's code is imported, which may replace what differentiates
    ready["differentiates"] = differentiates(backend, target=bool(spec.get("target")))
    frames.send(sock, ready)
    worker = Worker(backend, None)
    if spec.get("target"):
        try:
            worker = _hosting(backend, spec)
        except target.BadTargetError as error:
            if watch.complaint() is None:  # else each case says so: the other backends go on
                frames.send(sock, {"kind": "bad target", "message": str(error), "traceback": error.details})
                return
        arrays = {} if worker.layer is None else worker.layer.arrays
        said = None if worker.layer is None else worker.layer.described()
        frames.send(sock, {"kind": "loaded", "layer": said}, frames.pack(dict(arrays)))
    for header, inputs in requests:
        reply = {} if watch.complaint() else reply_to(worker, Task(**header["task"]), inputs)
        if (complaint := watch.complaint()) is not None:
            reply = {"status": "error", "message": complaint, "traceback": ""}
        _flush()
        outputs = within(header["room"], reply)
        frames.send(sock, {"kind": "result", "number": header["number"], **reply}, frames.pack(outputs))


def _hosting(backend: Backend, spec: Dict[str, Any]) -> Worker:
    """The worker of the target of ``spec``; BadTargetError where that cannot be loaded or called."""
    sys.path += [path for path in spec.get("paths", ()) if path not in sys.path]
    own = target.load(spec["target"], spec["host"])
    try:
        worker = Worker(backend, own)
        worker.check()
    except signature.UnknownParameterError as error:
        raise target.BadTargetError(f"{spec['target']} {error}") from None
    except Exception as error:  # a layer's properties are the user's code
        message = f"{spec['target']} cannot be looked at: {target.summary(error)}"
        raise target.BadTargetError(message, target.users_traceback(error)) from None
    return worker


def adapter_of(spec: Dict[str, Any]) -> Backend:
    """The adapter that the parent's registry names, ``module:class``."""
    module, _, attribute = spec["adapter"].partition(":")
    adapter: Backend = getattr(importlib.import_module(module), attribute)(spec["options"], spec["device"])
    return adapter


def reply_to(worker: Worker, task: Task, inputs: Dict[str, Tagged]) -> Dict[str, Any]:
    """The reply to one task, whatever the user's code raises."""
    try:
        return worker.compute(task, inputs)
    except KeyboardInterrupt:
        raise
    except NotImplementedError as error:
        if worker.own is None:
            return _failed(error)
        return {"status": "unsupported", "message": str(error).strip() or target.summary(error)}
    except BaseException as error:  # SystemExit too: a case that raises has no result, whatever it raises
        if (fault := known_fault(error)) is not None:
            return {"status": "unsupported", "message": fault}
        return _failed(error)


def _failed(error: BaseException) -> Dict[str, Any]:
    return {
        "status": "error",
        "message": target.summary(error),
        "traceback": target.users_traceback(error),
    }


def within(room: int, reply: Dict[str, Any]) -> Dict[str, Tagged]:
    """The outputs of ``reply`` that have ``room`` bytes together; of each other one its shape is a problem."""
    kept: Dict[str, Tagged] = {}
    for name, (dtype, array) in reply.pop("outputs", {}).items():
        if array.ndim <= frames.MAX_AXES and array.nbytes <= room:
            kept[name] = (dtype, array)
            room -= array.nbytes
        else:
            size = f"its {array.nbytes:,} bytes are more than it can need"
            reply["problems"][name] = f"has shape {array.shape}: {size}"
    return kept


def _listen(sock: socket.socket, inbox: queue.SimpleQueue[Any]) -> None:
    """Hand on what comes in; end the process with the parent, even in the middle of a computation.

    All of an array at once: for each of hundreds of pieces the import of a framework would have to be interrupted.
    """

    def read_into(view: memoryview) -> int:
        return sock.recv_into(view, len(view), socket.MSG_WAITALL)

    try:
        while True:
            inbox.put(frames.receive(read_into))
    except (EOFError, OSError):
        os._exit(0)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Look for no garbage: to import a framework makes none to speak of, and takes a tenth longer with the search.

    What has been made stays as long as the process: the first search that follows would go through all of it.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # the user's code may have closed or replaced it
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()


def main() -> None:
    """Serve the parent at the other end of the socket until it hangs up."""
    descriptor, spec = int(sys.argv[1]), json.loads(sys.argv[2])
    watch = Guard()
    watch.install()
    os.set_inheritable(descriptor, False)
    sys.argv[:] = ["normcheck-worker"]
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with socket.socket(fileno=descriptor) as sock:
        threading.Thread(target=_listen, args=(sock, inbox), daemon=True).start()
        serve(sock, spec, iter(inbox.get, None), watch)
