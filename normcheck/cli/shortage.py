"""What the machine is out of: no error of the user's, and no bug."""

from __future__ import annotations

import errno
import os

_MEMORY = "close other programs, or name fewer backends"
_ROOM = "make room, or set TMPDIR to another directory"
_HELP = {
    errno.EMFILE: "allow more open files (ulimit -n), or name fewer backends",
    errno.ENFILE: "close other programs",
    errno.ENOMEM: _MEMORY,
    errno.EAGAIN: "allow more processes (ulimit -u)",
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "allow larger files (ulimit -f), or set TMPDIR to another directory",
    errno.EROFS: "set TMPDIR to a directory that can be written",
    errno.EIO: "look at the disk",
}


def shortage(error: BaseException) -> str | None:
    """A sentence on what is missing, and what helps; None where that is not the cause of ``error``."""
    if isinstance(error, MemoryError):
        return f"{os.strerror(errno.ENOMEM)}: {_MEMORY}"
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return f"cannot start a thread: {_HELP[errno.EAGAIN]}"
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error):
        return f"{error.strerror}: set TMPDIR to a directory that can be written"
    if isinstance(error, OSError) and error.errno in _HELP:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}: {_HELP[error.errno]}"
    if isinstance(error, ImportError):  # of a shared library: it has no number
        words = (os.strerror(number) for number in _HELP)
        return next((f"{each}: {error}" for each in words if each in str(error)), None)
    return None
