"""Write one's own implementations to files and compare them, with the real command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import run_normcheck, strict_json

PRELUDE = """
import os, sys, time
import numpy as np

def right(x, weight, bias, *, eps):
    axes = tuple(range(1, x.ndim))
    d = x - x.mean(axes, keepdims=True)
    y = d / np.sqrt(np.square(d).mean(axes, keepdims=True) + x.dtype.type(eps))
    y = y if weight is None else y * weight
    return y if bias is None else y + bias

"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run said: the exit code, the JSON report, stderr."""

    code: int
    report: dict[str, Any]
    stderr: str

    def of(self, backend: str, output: str = "y") -> list[dict[str, Any]]:
        """The results of one output of one backend, in the order of the cases."""
        return [r for r in self.report["results"] if (r["backend"], r["output"]) == (backend, output)]

    def verdicts(self, backend: str) -> list[str]:
        return [result["verdict"] for result in self.of(backend)]


class OwnBackends:
    """``own(body)`` writes norm.py with the function ``norm`` and compares it, and NumPy, on layer norm."""

    def __init__(self, folder: Path, schema: Any) -> None:
        self.folder, self.schema = folder, schema

    def write(self, source: str, name: str = "norm.py") -> Path:
        path = self.folder / name
        path.write_text(PRELUDE + source)
        return path

    def __call__(
        self,
        body: str,
        *options: object,
        head: str = "def norm(x, weight, bias, *, eps):",
        target: str = "norm",
        **env: str,
    ) -> Outcome:
        indented = "".join(f"    {line}\n" for line in body.splitlines())
        self.write(f"{head}\n{indented}")
        return self.compare(f"bad=numpy:norm.py:{target}", *options, **env)

    def compare(self, backend: str, *options: object, **env: str) -> Outcome:
        """NumPy and ``backend`` on layer norm of one small fixture, unless ``options`` say otherwise."""
        chosen = list(options)
        if "--fixture" not in chosen:
            chosen += ["--fixture", "nc"]
        if "--method" not in chosen:
            chosen += ["--method", "layer"]
        if "--gradients" not in chosen:
            chosen.append("--no-gradients")
        done = run_normcheck(
            "compare",
            "--backend",
            "numpy",
            "--backend",
            backend,
            "--format",
            "json",
            *chosen,
            cwd=self.folder,
            **env,
        )
        assert done.stdout, done.stderr
        report = strict_json(done.stdout)
        self.schema.validate(report)
        return Outcome(code=done.returncode, report=report, stderr=done.stderr)
