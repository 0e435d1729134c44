"""JAX's own persistent cache of compiled programs: compiling is nearly all that the cases cost."""

from __future__ import annotations

import hashlib
import os
import platform
from typing import Any, Dict, Optional

import jax


def keep_programs() -> Dict[str, Any]:
    """Have JAX keep what it compiles between runs, unless it has been told where already; the settings before."""
    directory = _directory()
    before: Dict[str, Any] = {}
    if directory is None:
        return before
    for name, value in (
        ("jax_compilation_cache_dir", directory),
        ("jax_persistent_cache_min_compile_time_secs", 0),
        ("jax_persistent_cache_min_entry_size_bytes", -1),
    ):
        before[name] = getattr(jax.config, name)
        jax.config.update(name, value)  # type: ignore[no-untyped-call]
    return before


def _directory() -> Optional[str]:
    """Where compiled programs are kept: one directory for each kind of processor, as they are machine code.

    None where JAX has been told already, or nothing can be kept.
    """
    if getattr(jax.config, "jax_compilation_cache_dir", None):
        return None
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    kind = "-".join((platform.machine(), hashlib.sha256(_processor().encode()).hexdigest()[:12]))
    directory = os.path.join(home, "normcheck", "jax", kind)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    except OSError:
        return None
    return directory if os.access(directory, os.W_OK) else None


def _processor() -> str:
    """What tells processors apart that run different machine code."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            lines = [line for line in stream if line.startswith(("model name", "flags", "Features"))]
    except OSError:
        lines = []
    return "".join(sorted(set(lines))) or platform.processor()
