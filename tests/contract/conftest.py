"""A worker that outlives its run: most of what a run of a framework costs is the import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from in_process import NoProcess

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
        self._clients: dict[tuple[BackendSpec, float], WorkerClient] = {}

    def client(self, spec: BackendSpec, process: NoProcess, *, timeout: float) -> Lent:
        """What a run gets in the place of a new WorkerClient; one's own code is loaded anew for each run."""
        key = spec, timeout
        if spec.target is not None or key not in self._clients:
            self.close(but=AT_ONCE - 1)
            self._clients[key] = WorkerClient(spec, WorkerProcess(spec), timeout=timeout)
        return Lent(self, key, self._clients[key])

    def drop(self, key: tuple[BackendSpec, float]) -> None:
        if (
            client := self._clients.pop(key, None)
        ) is not None:  # dropped by an answer that raised, then closed
            client.close()

    def close(self, but: int = 0) -> None:
        for key in list(self._clients)[: len(self._clients) - but]:
            self.drop(key)


class Lent:
    """A worker for one run: it stays when the run ends, unless it is of no more use."""

    def __init__(self, kept: Kept, key: tuple[BackendSpec, float], client: WorkerClient) -> None:
        self._kept, self._key, self._client = kept, key, client
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
            self._kept.drop(self._key)
            raise
        return answer

    def close(self) -> None:
        if self.spec.target is not None:
            self._kept.drop(self._key)


@pytest.fixture(scope="module")
def kept_workers() -> Iterator[None]:
    """The runs of a module share the worker of a backend."""
    with pytest.MonkeyPatch.context() as patch:
        kept = Kept()
        patch.setattr("normcheck.run.client.WorkerClient", kept.client)
        for module in ("session", "probe"):
            patch.setattr(f"normcheck.run.{module}.WorkerProcess", NoProcess)
        yield
        kept.close()
