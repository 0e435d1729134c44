"""Ask each backend for its versions, its settings, and the cases that it supports."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from normcheck.backend import BackendStatus
from normcheck.backends import missing, registered
from normcheck.errors import UnknownNameError
from normcheck.options import DEFAULT_TIMEOUT
from normcheck.run.backends import BackendSpec
from normcheck.run.process import WorkerProcess


def probe_backends(names: Iterable[str] = ()) -> tuple[BackendStatus, ...]:
    """Start every registered backend, or those in ``names``, a few at a time, and return their status."""
    known = registered()
    for name in (names := tuple(names)):
        if name not in known:
            raise UnknownNameError("backend", name, known)
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        return tuple(pool.map(_probed, names or known))


def _probed(name: str) -> BackendStatus:
    reason = missing(name)
    if reason is not None:
        return BackendStatus(name=name, environment={}, offers={}, reason=reason)
    from normcheck.run.client import WorkerClient
    from normcheck.run.sources import UnavailableError

    spec = BackendSpec.parse(name)
    client = WorkerClient(spec, WorkerProcess(spec), timeout=DEFAULT_TIMEOUT)
    try:
        return BackendStatus(name=name, environment=client.ready(), offers=client.offers, reason=None)
    except UnavailableError as error:
        return BackendStatus(name=name, environment={}, offers={}, reason=str(error))
    finally:
        client.close()
