"""The public Python API: :func:`compare` runs backends, :func:`judge` looks at arrays that one already has."""

from __future__ import annotations

from normcheck import reports  # noqa: F401 (what a report says when it is printed)
from normcheck.api.comparing import compare
from normcheck.api.judging import judge

__all__ = ["compare", "judge"]
