"""Fixtures of the corpus that do not come with normcheck: files, written when they are first asked for."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np

from normcheck.fixtures.generate import bell, uniform

RESIDUAL = "residual.npz"
TOKENS, HIDDEN = 12, 40  # shape of x


@functools.cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    """Where they are, until this process ends."""
    return tempfile.TemporaryDirectory(prefix="normcheck-corpus-")


@functools.cache
def _residual() -> Path:
    """Hidden states with a residual, neither of which has a mean of 0, and a weight for each of the last axis."""
    path, shape = Path(_directory().name, RESIDUAL), (TOKENS, HIDDEN)
    count = TOKENS * HIDDEN
    # all digits that float32 has, so that each half precision has to round the sum
    x, residual = (bell(seed, count, offset=1).reshape(shape) for seed in (81, 82))
    np.savez(path, x=x, residual=residual, weight=uniform(1081, HIDDEN, low=-2, high=2))
    return path


def path_of(name: str) -> str:
    """What ``--fixture`` takes for the fixture ``name``."""
    return str(_residual()) if name == RESIDUAL else name
