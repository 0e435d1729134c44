"""SIGTERM and SIGHUP end a command as Ctrl-C does: by an exception, so that workers and files are cleaned up."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)


class Terminated(BaseException):
    """A signal that asks the process to end; ``exit_code`` is what a shell would say of it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_code = 128 + number


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within it, the first of these signals raises Terminated; more of them do not disturb the cleaning up.

    A signal that the caller ignores (nohup) stays ignored; outside the main thread Python handles none.
    """
    ours = []
    if threading.current_thread() is threading.main_thread():
        ours = [each for each in ENDING if signal.getsignal(each) is signal.SIG_DFL]
    for each in ours:
        signal.signal(each, _end)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


def _end(number: int, _: FrameType | None) -> None:
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise Terminated(number)
