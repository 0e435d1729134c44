"""A source in this process: a function or a layer that the caller has as an object, not as a file.

It shares the caller's process: a crash or a hang is the caller's too. What the host's adapter sets (threads,
determinism, float64) is set back after each call.
"""

from __future__ import annotations

import functools
import threading
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from normcheck.answer import Answer
from normcheck.backends import BUILTIN
from normcheck.backends._base import Tagged, Task, UnavailableError
from normcheck.dtypes import tagged
from normcheck.errors import TargetError, UsageError
from normcheck.layer import Layer
from normcheck.run import sources
from normcheck.run.backends import BackendSpec
from normcheck.run.replies import answer_of, layer_of, task_of
from normcheck.run.sources import Question
from normcheck.verdict import Verdict
from normcheck.worker.compute import Worker
from normcheck.worker.guard import is_oracle, sentence
from normcheck.worker.offers import differentiates
from normcheck.worker.serve import adapter_of, reply_to
from normcheck.worker.signature import UnknownParameterError

# Settings are the process's: two sources would set them back for each other. What is called may call normcheck itself.
ONE_AT_A_TIME = threading.RLock()

# Libraries whose layers and functions another framework hosts.
GUESTS = {"flax": "jax", "equinox": "jax", "haiku": "jax", "jaxlib": "jax"}
HOSTS = {entry.requires: name for name, entry in BUILTIN.items() if name == entry.requires} | GUESTS


class InProcess:
    """Answers with the function or the layer of ``spec``, in this process."""

    def __init__(self, spec: BackendSpec) -> None:
        self.spec = spec
        self.environment: Mapping[str, Any] = {}
        self._last: Mapping[str, Tagged] = {}

    def layer(self) -> Layer | None:
        """What it says of itself."""
        try:
            with self._worker() as worker:
                own = worker.layer
                return (
                    None if own is None else layer_of({"layer": own.described()}, own.arrays, self.spec.name)
                )
        except sources.UnavailableError:
            return None  # as the first case will say

    def answer(self, question: Question) -> Answer:
        """Call it with the inputs of one case; some settings are those of the thread that calls."""
        if (oracle := next(filter(is_oracle, _modules(self.spec.function)), None)) is not None:
            return Answer(verdict=Verdict.ERROR, reason=sentence(oracle))
        inputs = {name: tagged(array) for name, array in question.arrays.items()}
        with self._worker() as worker:
            owed = differentiates(worker.backend, target=True)
            worker.last = self._last
            reply = reply_to(worker, Task(**task_of(question.case, once=question.once)), inputs)
            self._last = worker.last
        answer = answer_of(question.case, reply, reply.pop("outputs", {}), "")
        return answer.with_gradients_owed() if owed else answer

    @contextmanager
    def _worker(self) -> Iterator[Worker]:
        """The function or the layer in its host, whose settings are in force as long as the context lasts."""
        with ONE_AT_A_TIME:
            try:
                backend = adapter_of(self.spec.for_worker())
            except UnavailableError as error:
                raise sources.UnavailableError(str(error)) from None
            except Exception as error:  # a framework that cannot be imported, for whatever reason
                reason = f"{self.spec.host} cannot be imported: {type(error).__name__}: {error}"
                raise sources.UnavailableError(reason) from None
            try:
                self.environment = backend.environment()
                worker = Worker(backend, self.spec.function)
                worker.check()
                yield worker
            except UnknownParameterError as error:
                raise TargetError(f"backend {self.spec.name!r}: the function {error}") from None
            finally:
                backend.release()

    def close(self) -> None:
        """Do nothing: no process runs."""


def host_of(name: str, value: Any) -> str:
    """The host of a function or a layer: the framework that its class, or what its code names, comes from.

    UsageError where that is more than one.
    """
    found = {HOSTS[root] for root in map(_root, _modules(value)) if root in HOSTS}
    if len(found) > 1:
        found.discard("numpy")
    if len(found) > 1:
        raise UsageError(
            f"backend {name!r}: it uses {' and '.join(sorted(found))}; name its host: {name!r}: ('torch', …)"
        )
    return next(iter(found), "numpy")


def _modules(value: Any, seen: set[int] | None = None) -> Iterator[str]:
    """The modules of a layer's classes, or of what the code of a function names or imports, and of functions there."""
    seen = set() if seen is None else seen
    while isinstance(value, functools.partial) or hasattr(value, "__wrapped__"):
        value = value.func if isinstance(value, functools.partial) else value.__wrapped__
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, types.MethodType):
        yield from _modules(value.__self__, seen)
        value = value.__func__
    yield _module(value)
    if not isinstance(value, types.FunctionType):
        yield from map(_module, type(value).__mro__)
        return
    cells = [cell.cell_contents for cell in value.__closure__ or () if cell != types.CellType()]
    names = list(_names(value.__code__))
    yield from filter(is_oracle, [*names, _attribute(names, value.__globals__)])
    named = [value.__globals__[name] for name in names if name in value.__globals__]
    for each in (*cells, *named):
        if isinstance(each, types.FunctionType) and _root(_module(each)) not in HOSTS:
            yield from _modules(each, seen)
        yield _module(each)


def _attribute(names: list[str], known: Mapping[str, Any]) -> str:
    """``normcheck.oracle`` where the code names both, and the second is nothing of its own."""
    return "normcheck.oracle" if {"normcheck", "oracle"} <= set(names) and "oracle" not in known else ""


def _module(value: Any) -> str:
    return str(
        value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None) or ""
    )


def _root(module: str) -> str:
    return module.partition(".")[0]


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def spec_of(name: str, value: Any) -> BackendSpec:
    """The spec of a function, a layer, or a pair of a host and one of these."""
    host, function = value if isinstance(value, tuple) and len(value) == 2 else (host_of(name, value), value)
    if isinstance(function, type):
        raise UsageError(
            f"backend {name!r} is the class {function.__name__}, not an object to call: make an instance of it"
        )
    if not callable(function):
        raise UsageError(
            f"backend {name!r} is a {type(function).__name__}, not a function or a layer to call"
        )
    if host not in BUILTIN:
        raise UsageError(f"backend {name!r}: the host {host!r} is unknown; valid: {', '.join(BUILTIN)}")
    return BackendSpec(name=name, host=host, argument=name, function=function)
