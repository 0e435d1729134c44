"""What ties a worker to its parent, and what it starts to the worker; before NumPy and a framework are imported.

On Linux a worker is two processes: the keeper, which the parent started, and its child, the worker itself. What a
worker starts can leave its process group, its session and its environment; but where it is left alone it becomes the
keeper's child. The keeper ends it all when the worker has ended, when the parent says so (SIGTERM) and when the parent
is gone, and then ends itself as the worker did.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
import time
from typing import Dict, List

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
AWAITED = (signal.SIGCHLD, signal.SIGTERM)
ENDING = 5.0  # seconds after which what still runs cannot be ended, such as another user's process
DESCRIPTORS = 2**16  # more than a parent has open


def tied() -> None:
    """Return in the worker itself, which ends with its parent, and where memory is short before it."""
    if sys.platform != "linux":
        return  # the parent's end is an end of file, which a thread waits for
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
        score.write("1000")
    prctl, keeper = ctypes.CDLL(None).prctl, os.getpid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # who ignores it gets no status
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    worker = os.fork()
    if worker:
        _end_as(_kept(worker))
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper:
        os._exit(1)  # it has been killed meanwhile
    os.setsid()  # no signal to the worker's group is one to the keeper
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _kept(worker: int) -> int:
    """Wait for the end of the worker, or for the word to end it; how it ended, once nothing that it started is left."""
    os.closerange(0, DESCRIPTORS)  # what the worker closes is closed
    ended: Dict[int, int] = {}
    while worker not in ended and signal.sigwait(AWAITED) == signal.SIGCHLD:
        _reap(worker, ended)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker, signal.SIGKILL)  # at one stroke, also those that are being forked
    before, limit = [0], time.monotonic() + ENDING
    while _reap(worker, ended) and time.monotonic() < limit:
        children = _children()
        for child in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        if children == before:
            time.sleep(0.001)  # they are dying; a chain of forks is another child each time, and is overtaken
        before = children
    return ended.get(worker, signal.SIGKILL)


def _reap(worker: int, ended: Dict[int, int]) -> bool:
    """Forget the children that have ended, but for how the worker did; False where no child is left."""
    while True:
        try:
            child, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if child == worker:
            ended[worker] = status
        if child == 0:
            return True


def _children() -> List[int]:
    """The numbers of the children of this process, which are nobody else's before they are reaped."""
    ours = str(os.getpid())
    try:
        with open(f"/proc/self/task/{ours}/children", encoding="ascii") as children:
            return [int(number) for number in children.read().split()]
    except OSError:  # not every kernel has it
        pass
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{number}/stat", "rb") as stat:
            if stat.read().rpartition(b")")[2].split()[1].decode() == ours:
                found.append(int(number))
    return found


def _end_as(status: int) -> None:
    """End this process as another one did, of which ``status`` is what wait() said."""
    if not os.WIFSIGNALED(status):
        os._exit(os.WEXITSTATUS(status))
    number = os.WTERMSIG(status)
    faulthandler.disable()
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)  # one core is enough
    with contextlib.suppress(OSError):  # SIGKILL has no handler
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    os._exit(128 + number)
