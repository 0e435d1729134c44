"""What a normalization leaves open: the catalogue of its conventions. Standard library only."""

from __future__ import annotations

from normcheck.conventions.catalogue import Convention

__all__ = ["Convention"]
