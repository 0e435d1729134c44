"""The log that a bug in normcheck leaves behind."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import tempfile
import traceback

PACKAGES = ("normcheck", "numpy", "torch", "jax", "jaxlib", "click", "rich", "ml-dtypes", "safetensors")


def write_log(error: BaseException) -> str:
    """Write the traceback, the command and the versions to a new file; its path."""
    descriptor, path = tempfile.mkstemp(prefix="normcheck-bug-", suffix=".log")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as log:
        log.write(f"command: {sys.argv}\npython {platform.python_version()} on {platform.platform()}\n")
        for name in PACKAGES:
            log.write(f"{name} {_version(name)}\n")
        log.write("".join(traceback.format_exception(error)))
    return path


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
