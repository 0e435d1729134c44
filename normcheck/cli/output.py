"""Where a command writes: standard output, standard error, a file. All that is written goes through here."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from normcheck.errors import NormcheckError

if TYPE_CHECKING:
    from rich.console import Console

_NO_NEIGHBOUR = {errno.EACCES, errno.EPERM, errno.EROFS}  # nothing can be made in the file's directory
_NO_REPLACEMENT = {errno.EBUSY, errno.EXDEV}  # it is a mount of its own
_LINKS = 40  # as many as Linux follows
_CHUNK = 2**20
_closed_at_start: set[int] = set()


class OutputError(NormcheckError):
    """Output that cannot be written."""


def hold_standard_descriptors() -> None:
    """Open those of 0, 1 and 2 that are closed: a socket of that number would get what is printed."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            _closed_at_start.add(number)


def say(message: str) -> None:
    """A line on standard error, which is not part of the output; lost where that is closed or full."""
    if sys.stderr is None:
        return
    try:
        print(message, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        sys.stderr = None  # what is left in it would fail once more at exit


def console() -> Console:
    """Standard output as rich sees it: colour on a terminal unless NO_COLOR, plain in a pipe."""
    from rich import console

    class Console(console.Console):
        def on_broken_pipe(self) -> None:
            raise  # noqa: PLE0704 (called where it is handled; rich would exit)

    return Console(highlight=False, markup=False, emoji=False)


@contextlib.contextmanager
def standard_output() -> Iterator[None]:
    """Within it, what is printed arrives, or OutputError says why not; a reader that hung up has seen enough."""
    if sys.stdout is None:
        raise OutputError("cannot write to standard output: it is closed")
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = None  # what is left in it would fail once more at exit
    except OSError as error:
        sys.stdout = None
        raise OutputError(f"cannot write to standard output: {error.strerror}") from None


def check_file(path: str) -> None:
    """OutputError where it is plain that ``path`` cannot be written: before a run, not after it."""
    folder = os.path.dirname(os.path.realpath(path))
    if _descriptor(path) is None and not os.path.isdir(folder):
        raise OutputError(f"cannot write {path}: there is no directory {folder}")
    if os.path.isdir(path):
        raise OutputError(f"cannot write {path}: {os.strerror(errno.EISDIR)}")
    try:
        if _found(path) is not None and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from None


def is_stream(path: str) -> bool:
    """True for what is written through: a device, a FIFO, a descriptor. It has no content to be read first."""
    found = _found(path)
    return _descriptor(path) is not None or (found is not None and not stat.S_ISREG(found.st_mode))


def place_of(path: str) -> str | int | None:
    """What two paths have in common if one would be written over the other: a file, or a descriptor's number.

    None for a device or a FIFO, which takes any number of texts.
    """
    if (number := _descriptor(path)) is not None:
        return number
    try:
        through = is_stream(path) and not os.path.isdir(path)
    except OSError:  # what cannot be looked at cannot be written either, which will be said
        through = False
    return None if through else os.path.realpath(path)


def write_file(path: str, content: str | bytes) -> None:
    """Write a regular file wholly or not at all; it keeps its mode, and a link to it stays one.

    Anything else (a device, a FIFO, a descriptor such as /dev/stdout) is written through. Raises OutputError.
    """
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    try:
        if (number := _descriptor(path)) is not None:
            _write_through(_inherited(number), data)
            return
        if is_stream(path):
            _write_through(os.open(path, os.O_WRONLY | os.O_NOCTTY), data)
        else:
            _replace(os.path.realpath(path), data, _found(path))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from None


def _found(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:  # a link may name what does not exist yet
        return None


def _descriptor(path: str) -> int | None:
    """N of /dev/fd/N, which /dev/stdout is a link to; None for any other path.

    To open it is something else than to write to it: the position would be another, what is there would be lost.
    """
    descriptors = {os.path.realpath("/dev/fd"), os.path.realpath("/proc/self/fd")}
    for _ in range(_LINKS):
        folder, name = os.path.split(os.path.abspath(path))
        if name.isascii() and name.isdecimal() and os.path.realpath(folder) in descriptors:
            return int(name)
        try:
            path = os.path.join(folder, os.readlink(path))
        except OSError:
            return None
    return None


def _inherited(number: int) -> int:
    """A new descriptor of what our caller has opened as ``number``."""
    if number in _closed_at_start:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()  # in the order in which it was written
    return os.dup(number)


def _write_through(descriptor: int, data: bytes) -> None:
    with open(descriptor, "wb") as stream:
        stream.write(data)


def _replace(path: str, data: bytes, found: os.stat_result | None) -> None:
    """Write beside ``path`` and move it there; in place where that cannot be done."""
    import tempfile  # takes as long as all else of --help

    if found is not None and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    try:
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".normcheck-")
    except OSError as error:
        if found is None or error.errno not in _NO_NEIGHBOUR:
            raise
        _overwrite(path, data)
        return
    try:
        _write_through(descriptor, data)
        _adopt(temporary, found)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if not (isinstance(error, OSError) and error.errno in _NO_REPLACEMENT):
            raise
        _overwrite(path, data)


def _adopt(temporary: str, found: os.stat_result | None) -> None:
    """Give a new file the owner and the mode of the one that it replaces, or those of any new file."""
    if found is None:
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        return
    with contextlib.suppress(OSError):  # only root may
        os.chown(temporary, found.st_uid, found.st_gid)
    os.chmod(temporary, stat.S_IMODE(found.st_mode))


def _overwrite(path: str, data: bytes) -> None:
    """Write in place; if that fails, what the file held is put back."""
    with open(path, "r+b", buffering=0) as stream:
        before = stream.read()
        try:
            _from_the_start(stream.fileno(), data)
        except BaseException:
            _from_the_start(stream.fileno(), before)
            raise


def _from_the_start(descriptor: int, data: bytes) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest[:_CHUNK]) :]
    os.ftruncate(descriptor, len(data))
