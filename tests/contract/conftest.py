"""A worker that outlives its run: most of what a run of a framework costs is the import.

Tests of one backend, in whatever file, run one after another (``each_backend``), so that they share its worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from in_process import NoProcess, without_processes

from normcheck.answer import Answer
from normcheck.layer import Layer
from normcheck.run.backends import BackendSpec
from normcheck.run.client import WorkerClient
from normcheck.run.process import WorkerProcess
from normcheck.run.sources import Question

AT_ONCE = 2  # frameworks need memory


class Kept:
    """Workers by what they were started as, the last few."""

    def __init__(self) -> None:
        self._clients: dict[BackendSpec, WorkerClient] = {}
        self._starter = ThreadPoolExecutor(1)  # a worker ends with the thread that starts it

    def client(self, spec: BackendSpec, process: NoProcess, *, timeout: float) -> Lent:
        """What a run gets in the place of a new WorkerClient; one's own code is loaded anew for each run."""
        client = None if spec.target is not None else self._clients.pop(spec, None)
        if client is None:
            self.close(but=AT_ONCE - 1)
            started = self._starter.submit(WorkerProcess, spec).result()
            client = WorkerClient(spec, started, timeout=timeout)
        client.timeout = timeout
        self._clients[spec] = client  # the last one: what was used least recently is closed first
        return Lent(self, client)

    def drop(self, spec: BackendSpec) -> None:
        if (
            client := self._clients.pop(spec, None)
        ) is not None:  # dropped by an answer that raised, then closed
            client.close()

    def close(self, but: int = 0) -> None:
        for spec in list(self._clients)[: len(self._clients) - but]:
            self.drop(spec)


class Lent:
    """A worker for one run: it stays when the run ends, unless it is of no more use."""

    def __init__(self, kept: Kept, client: WorkerClient) -> None:
        self._kept, self._client = kept, client
        self.spec = client.spec

    @property
    def environment(self) -> Mapping[str, Any]:
        return self._client.environment

    @property
    def offers(self) -> Mapping[str, Any]:
        return self._client.offers

    def ready(self) -> Mapping[str, Any]:
        return self._client.ready()

    def layer(self) -> Layer | None:
        return self._client.layer()

    def answer(self, question: Question) -> Answer:
        try:
            answer = self._client.answer(question)
        except BaseException:
            self._kept.drop(self.spec)
            raise
        return answer

    def close(self) -> None:
        if self.spec.target is not None:
            self._kept.drop(self.spec)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what needs no worker: its framework is one that other tests import into this process too."""
    without_processes(monkeypatch)


@pytest.fixture(scope="session")
def kept() -> Iterator[Kept]:
    workers = Kept()
    yield workers
    workers.close()


@pytest.fixture(scope="module")
def kept_workers(kept: Kept) -> Iterator[None]:
    """The runs of a module take the worker of a backend that is there, and leave it to the next one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("normcheck.run.client.WorkerClient", kept.client)
        for module in ("session", "probe"):
            patch.setattr(f"normcheck.run.{module}.WorkerProcess", NoProcess)
        yield
