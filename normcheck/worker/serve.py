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
from normcheck.worker import frames, signature, target
from normcheck.worker.compute import Worker
from normcheck.worker.guard import Guard
from normcheck.worker.offers import offers

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
    frames.send(
        sock,
        {
            "kind": "ready",
            "environment": environment,
            "offers": offers(backend, spec["methods"]),
            "differentiates": backend.differentiates(own=bool(spec.get("target"))),
        },
    )
    worker = Worker(backend, None)
    if spec.get("target"):
        try:
            own = target.load(spec["target"], spec["host"])
            worker = Worker(backend, own)
            worker.check()
        except signature.UnknownParameterError as error:
            message = f"{spec['target']} {error}"
            frames.send(sock, {"kind": "bad target", "message": message, "traceback": ""})
            return
        except target.BadTargetError as error:
            if watch.complaint() is None:  # else each case says so: the other backends go on
                frames.send(sock, {"kind": "bad target", "message": str(error), "traceback": error.details})
                return
        frames.send(sock, {"kind": "loaded"})
    for header, inputs in requests:
        reply = {} if watch.complaint() else reply_to(worker, Task(**header["task"]), inputs)
        if (complaint := watch.complaint()) is not None:
            reply = {"status": "error", "message": complaint, "traceback": ""}
        _flush()
        outputs = within(header["room"], reply)
        frames.send(sock, {"kind": "result", "number": header["number"], **reply}, frames.pack(outputs))


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
    except BaseException as error:  # SystemExit too: a case that raises has no result, whatever it raises
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
    """Hand on what comes in; end the process with the parent, even in the middle of a computation."""
    try:
        while True:
            inbox.put(frames.receive(sock.recv_into))
    except (EOFError, OSError):
        os._exit(0)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Look for no garbage: to import a framework makes none to speak of, and takes a tenth longer with the search."""
    gc.disable()
    try:
        yield
    finally:
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
