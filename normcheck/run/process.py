"""A worker's process: its start, its end, and what comes from it. Standard library only, so that all
workers are on their way before the parent imports NumPy.

A worker may be broken or hostile. It shares no file and no memory with us: cases, answers and what it prints go
through a socket and a pipe, and we read them only as fast, and keep only as much, as we need.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

from normcheck.errors import UnusableBackendError
from normcheck.run.backends import BackendSpec

NO_NUMPY = 86  # the exit code of another interpreter that has none
PRINTED_KEPT = 8192  # bytes, the last ones
PIPE_READ = 2**16  # bytes at once, and what a pipe usually holds
PIPE_HELD = 2**20  # bytes that a pipe can hold at most, unless an administrator allows more
BUFFER = 2**20  # bytes of frames that are on their way
ENDING = 10.0  # seconds that the end of a worker and of all that it started may take
LONGEST_WAIT = 3600.0  # seconds at once: poll() takes no more than an int of milliseconds

# What faulthandler says of a crash is kept but for our own frames and the list of extension modules.
_PACKAGE = re.escape(str(Path(__file__).parents[1]))
_THEIRS_ONLY = re.compile(
    rf'^  File "(?:{_PACKAGE}/(?:worker|backends)/|<frozen runpy>).*\n|^\n?Extension modules: .*\n?',
    re.MULTILINE,
)
_OURS_ALONE = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"})
_OUR_THREAD = re.compile(r'^Thread 0x\S+ .*\n(?:  File ".*threading\.py".*\n)+\n?', re.MULTILINE)


class Printed:
    """The end of all that is written into a pipe; the rest is read and forgotten."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self._kept = b""

    def read(self) -> bool:
        """Read what is there, as much as one call gives; False where nothing is, or will ever be."""
        try:
            text = os.read(self.reader, PIPE_READ)
        except OSError:  # nothing there, or closed by us
            return False
        self._kept = (self._kept + text)[-PRINTED_KEPT:]
        return bool(text)

    def take(self) -> str:
        """The end of what was written since the last call, and before this one."""
        for _ in range(PIPE_HELD // PIPE_READ):  # a writer that never stops is not waited for
            if not self.read():
                break
        text, self._kept = self._kept.decode(errors="replace"), b""
        return text

    def close(self) -> None:
        """Read no more; what was written can still be taken."""
        self._kept = self.take().encode()
        reader, self.reader = self.reader, -1
        os.close(reader)


class WorkerProcess:
    """A running ``python -m normcheck.worker``, the socket to it, and all that it prints.

    Raises UnusableBackendError where the system starts no process.
    """

    def __init__(self, spec: BackendSpec) -> None:
        self._in_use = threading.Lock()  # the descriptors, while something waits for them
        try:
            self._start(spec)
        except OSError as error:
            raise UnusableBackendError(
                f"backend {spec.name!r}: its worker cannot be started: {error.strerror or error}"
            ) from None
        self.started = time.monotonic()

    def _start(self, spec: BackendSpec) -> None:
        with contextlib.ExitStack() as undone:
            self.socket, theirs = socket.socketpair()
            undone.callback(self.socket.close)
            with theirs:
                for end in (self.socket, theirs):
                    _widen(end)
                self._printed = Printed()
                undone.callback(self._printed.close)
                try:
                    self._process = subprocess.Popen(
                        [*_interpreter(spec), str(theirs.fileno()), json.dumps(spec.for_worker())],
                        stdin=subprocess.DEVNULL,
                        stdout=self._printed.writer,
                        stderr=self._printed.writer,
                        pass_fds=[theirs.fileno()],
                        start_new_session=True,
                        env=_environment(foreign=spec.python is not None),
                    )
                finally:
                    os.close(self._printed.writer)
            self._poll = select.poll()
            self._poll.register(self.socket, select.POLLIN)
            self._poll.register(self._printed.reader, select.POLLIN)
            undone.pop_all()

    def read_into(self, view: memoryview, deadline: float) -> int:
        """Wait for what comes through the socket, and read some of it; 0 where the worker has hung up.

        What is printed is read meanwhile, so that no worker waits for it. ``deadline`` is in seconds of
        :func:`time.monotonic`; TimeoutError once it has passed.
        """
        with self._in_use:
            while (remaining := deadline - time.monotonic()) > 0:
                if self.socket.fileno() < 0:
                    return 0  # it has been killed
                ready = dict(self._poll.poll(min(remaining, LONGEST_WAIT) * 1000))
                if self._printed.reader in ready and not self._printed.read():
                    self._poll.unregister(self._printed.reader)  # closed at the other end
                if self.socket.fileno() in ready:
                    return self.socket.recv_into(view)
        raise TimeoutError

    def kill(self) -> None:
        """End the process, whatever it is doing, and all that it started; nothing where that was done before.

        Another thread that waits for it is woken up.
        """
        if self.socket.fileno() < 0:
            return  # its number may be another process's by now
        self._end()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        with self._in_use:
            if self.socket.fileno() >= 0:
                self.socket.close()
                self._printed.close()

    def _end(self) -> None:
        """On Linux the keeper does it (see :mod:`normcheck.worker.lifeline`), elsewhere a signal to the group."""
        if sys.platform == "linux":
            self._process.terminate()
            late = threading.Timer(ENDING, self._process.kill)
            late.daemon = True
            late.start()
            self._process.wait()
            late.cancel()
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def lacks_numpy(self) -> bool:
        """True for another interpreter that ended because it has no NumPy."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout=5) == NO_NUMPY
        return False

    def exit_description(self) -> str:
        """The end of a process that closed its socket, such as ``was killed by SIGABRT``."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "hung up"
        if code < 0:
            return f"was killed by {_signal_name(-code)}"
        return f"exited with code {code}"

    def printed(self) -> str:
        """The end of what the worker printed, to stdout and stderr, since the last call."""
        text = self._printed.take()
        return _OUR_THREAD.sub("", _THEIRS_ONLY.sub("", text.replace("\x00", "")))


def _widen(end: socket.socket) -> None:
    """Let more be on its way, so that a large array takes few calls; systems may allow less."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, option, BUFFER)


# Another interpreter imports normcheck by its place, and nothing else of ours. It may be older than the option -P,
# which keeps the current directory off the path, so that is done by hand.
_FOREIGN = f"""
import sys
package = sys.argv.pop(1)
del sys.path[0]
from importlib import util
spec = util.spec_from_file_location("normcheck", package + "/__init__.py", submodule_search_locations=[package])
sys.modules["normcheck"] = util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["normcheck"])
from normcheck.worker.lifeline import tied
tied()
try:
    import numpy
except ImportError as error:
    print("{{}} cannot host a backend without NumPy: {{}}".format(sys.executable, error), file=sys.stderr)
    sys.exit({NO_NUMPY})
from normcheck.worker.serve import main
main()
"""


def _interpreter(spec: BackendSpec) -> list[str]:
    """The command that becomes a worker once it has its arguments."""
    if spec.python is None:
        return [sys.executable, "-P", "-u", "-X", "faulthandler", "-m", "normcheck.worker"]
    return [spec.python, "-u", "-B", "-X", "faulthandler", "-c", _FOREIGN, str(Path(__file__).parents[1])]


def _environment(*, foreign: bool) -> dict[str, str]:
    """The environment of a worker: ours, and where to find normcheck if it is not installed.

    Another interpreter does not get what was meant for this one.
    """
    root = str(Path(__file__).parents[2])
    environment = dict(os.environ)
    if foreign:
        return {name: value for name, value in environment.items() if name not in _OURS_ALONE}
    if root not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        inherited = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{root}{os.pathsep}{inherited}" if inherited else root
    return environment


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
