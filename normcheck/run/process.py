"""A worker's process: its start, its end, and its printed text. Standard library only, so that all
workers are on their way before the parent imports NumPy.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from normcheck.run.backends import BackendSpec

NO_NUMPY = 86  # the exit code of another interpreter that has none
STDERR_KEPT = 8192  # bytes, the last ones

# What faulthandler says of a crash is kept but for our own frames and the list of extension modules.
_PACKAGE = re.escape(str(Path(__file__).parents[1]))
_THEIRS_ONLY = re.compile(
    rf'^  File "(?:{_PACKAGE}/(?:worker|backends)/|<frozen runpy>).*\n|^\n?Extension modules: .*\n?',
    re.MULTILINE,
)
_OURS_ALONE = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"})
_OUR_THREAD = re.compile(r'^Thread 0x\S+ .*\n(?:  File ".*threading\.py".*\n)+\n?', re.MULTILINE)


class WorkerProcess:
    """A running ``python -m normcheck.worker``, the socket to it, and all that it prints.

    ``directory`` is the run's own temporary directory.
    """

    def __init__(self, spec: BackendSpec, directory: str) -> None:
        self.socket, theirs = socket.socketpair()
        self._printed = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115 (outlives this)
        said = json.dumps(spec.for_worker())
        command = [*_interpreter(spec, directory), str(theirs.fileno()), directory, said]
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._printed,
                stderr=self._printed,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=_environment(foreign=spec.python is not None),
            )
        self.started = time.monotonic()

    def kill(self) -> None:
        """End the process, whatever it is doing, and all that it started; nothing where that was done before."""
        if self.socket.fileno() < 0:
            return  # its number may be another process's by now
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.socket.close()

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
        descriptor = self._printed.fileno()
        start = max(0, os.fstat(descriptor).st_size - STDERR_KEPT)
        text = os.pread(descriptor, STDERR_KEPT, start).decode(errors="replace")
        os.ftruncate(descriptor, 0)
        self._printed.seek(0)  # the position is the child's too
        return _OUR_THREAD.sub("", _THEIRS_ONLY.sub("", text.replace("\x00", "")))


# Another interpreter finds normcheck, and nothing else of ours, in a directory that holds a link to it. It may be
# older than the option -P, which keeps the current directory off the path, so that is done by hand.
_FOREIGN = f"""
import sys
sys.path[0] = sys.argv.pop(1)
try:
    import numpy
except ImportError as error:
    print("{{}} cannot host a backend without NumPy: {{}}".format(sys.executable, error), file=sys.stderr)
    sys.exit({NO_NUMPY})
from normcheck.worker.serve import main
main()
"""


def _interpreter(spec: BackendSpec, directory: str) -> list[str]:
    """The command that becomes a worker once it has its arguments."""
    if spec.python is None:
        return [sys.executable, "-P", "-u", "-X", "faulthandler", "-m", "normcheck.worker"]
    package = Path(__file__).parents[1]
    place = Path(directory, "import")
    place.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (place / package.name).symlink_to(package, target_is_directory=True)
    return [spec.python, "-u", "-B", "-X", "faulthandler", "-c", _FOREIGN, str(place)]


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
