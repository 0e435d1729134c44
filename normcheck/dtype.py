"""The dtypes of a case, and what follows from each: roundoffs, the largest and the smallest numbers."""

from __future__ import annotations

import enum


class DType(enum.StrEnum):
    """The dtype in which a case is computed and its outputs are expected."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"

    @property
    def unit_roundoff(self) -> float:
        """Unit roundoff of the dtype in which sums are accumulated: float32 for the half precisions."""
        return 2.0**-53 if self is DType.FLOAT64 else 2.0**-24

    @property
    def half(self) -> bool:
        """True for the 16-bit dtypes, which are coarser than the dtype in which sums are accumulated."""
        return self in {DType.FLOAT16, DType.BFLOAT16}

    @property
    def output_roundoff(self) -> float:
        """Unit roundoff of the dtype itself, in which a result is written down."""
        return {DType.FLOAT16: 2.0**-11, DType.BFLOAT16: 2.0**-8}.get(self, self.unit_roundoff)

    @property
    def tiny(self) -> float:
        """The number below which a roundoff of the dtype is not relative: its smallest normal one/unit roundoff."""
        return {
            DType.FLOAT64: 2.0**-969,
            DType.FLOAT32: 2.0**-102,
            DType.FLOAT16: 2.0**-3,
            DType.BFLOAT16: 2.0**-118,
        }[self]

    @property
    def largest(self) -> float:
        """The largest finite number of the dtype."""
        return {
            DType.FLOAT64: (2 - 2.0**-52) * 2.0**1023,
            DType.FLOAT32: (2 - 2.0**-23) * 2.0**127,
            DType.FLOAT16: (2 - 2.0**-10) * 2.0**15,
            DType.BFLOAT16: (2 - 2.0**-7) * 2.0**127,
        }[self]

    @property
    def smallest_subnormal(self) -> float:
        """The smallest positive number of the dtype."""
        return {
            DType.FLOAT64: 2.0**-1074,
            DType.FLOAT32: 2.0**-149,
            DType.FLOAT16: 2.0**-24,
            DType.BFLOAT16: 2.0**-133,
        }[self]


def promoted(a: DType, b: DType) -> DType:
    """The narrowest dtype that holds every number of both, in which frameworks add them."""
    if a is b:
        return a
    return DType.FLOAT64 if DType.FLOAT64 in {a, b} else DType.FLOAT32
