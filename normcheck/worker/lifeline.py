"""What ties a worker to its parent; before NumPy and a framework are imported, which may take seconds."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_first() -> None:
    """End with the parent, even where no thread of ours can run; and where memory is short, before it does."""
    if sys.platform != "linux":
        return  # the parent's end is an end of file, which a thread waits for
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
        score.write("1000")
