"""The oracle: the trusted result, in twice the working precision, and how well conditioned it is.

It shares no code with any backend. For cases up to float32 it computes in float64, for float64 cases in
double-double; inputs are taken as stored in the case's dtype, eps and momentum are the exact doubles given.
"""

from __future__ import annotations

from normcheck.oracle.evaluate import Oracle, oracle_of
from normcheck.oracle.inputs import Inputs, prepared
from normcheck.oracle.truth import Truth, probable_roundoffs
from normcheck.oracle.whole import evaluate, truths_of

__all__ = [
    "Inputs",
    "Oracle",
    "Truth",
    "evaluate",
    "oracle_of",
    "prepared",
    "probable_roundoffs",
    "truths_of",
]
