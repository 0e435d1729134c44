"""A user's own implementation: find it, and tell what went wrong in it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from types import ModuleType, TracebackType
from typing import Any, Dict, List, Optional

from normcheck.backends._base import Task

OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class BadTargetError(Exception):
    """A target that cannot be loaded: what is wrong, and the user's traceback if their code raised."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


def load(target: str, host: str) -> Any:
    """The attribute of ``path/to/file.py:attribute`` or ``package.module:attribute``, for ``host`` to call."""
    place, _, attribute = target.rpartition(":")
    try:
        module = _from_file(place) if place.endswith(".py") or os.sep in place else _from_module(place)
    except BadTargetError:
        raise
    except BaseException as error:  # whatever the user's module raises, SystemExit among it
        raise BadTargetError(
            f"{place} cannot be imported: {_summary(error)}", users_traceback(error)
        ) from None
    value: Any = module
    for name in attribute.split("."):
        if not hasattr(value, name):
            names = [n for n in dir(module) if not n.startswith("_") and callable(getattr(module, n, None))]
            raise BadTargetError(
                f"{place} has no attribute {attribute!r}; callable in it: {', '.join(names)}"
            )
        value = getattr(value, name)
    if inspect.isclass(value):
        raise BadTargetError(
            f"{target} is a class, not an object to call: make an instance in the file, "
            f"norm = {attribute}(), and name that"
        )
    if not callable(value):
        raise BadTargetError(f"{target} is a {type(value).__name__}, not a function or a module to call")
    keras = sys.modules.get("keras")  # its layers exist only if somebody has imported it
    if keras is not None and host != "keras" and isinstance(value, keras.Layer):
        raise BadTargetError(
            f"{target} is a Keras layer, which {host} does not call: use the host keras, "
            f"keras:{target} or keras[backend=…]:{target}"
        )
    return value


def _from_file(path: str) -> ModuleType:
    if not os.path.isfile(path):
        raise BadTargetError(f"no such file: {path}")
    name = os.path.splitext(os.path.basename(path))[0]
    sys.path.append(os.path.dirname(os.path.abspath(path)))  # its neighbours, after all that is installed
    spec = importlib.util.spec_from_file_location(f"normcheck_target_{name}", path)
    if spec is None or spec.loader is None:
        raise BadTargetError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _from_module(name: str) -> ModuleType:
    sys.path.append(os.getcwd())
    return importlib.import_module(name)


def own_keywords(task: Task) -> Dict[str, Any]:
    """The keywords of a built-in function for ``task``: all that its method has."""
    keywords = dict(task.params)
    if task.tracks:
        keywords.pop("track_running_stats", None)
        keywords["training"] = task.mode == "train"
    return keywords


def users_traceback(error: BaseException) -> str:
    """The traceback of ``error`` from the user's first frame on: nothing of ours."""
    shown = traceback.TracebackException(type(error), error, _users_frames(error.__traceback__))
    return "".join(shown.format())


def _users_frames(frames: Optional[TracebackType]) -> Optional[TracebackType]:
    while frames is not None and _ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _ours(filename: str) -> bool:
    return filename.startswith(OURS) or filename.startswith("<frozen importlib")


def _summary(error: BaseException) -> str:
    shown = traceback.TracebackException(type(error), error, None)
    shown.__notes__ = []  # of Python 3.11: they would be the last lines
    text: List[str] = list(shown.format_exception_only())
    return text[-1].strip()


def summary(error: BaseException) -> str:
    """The last line of an exception's traceback: its type and message."""
    return _summary(error)
