"""Laws of normalization: relations between a backend's own outputs, which need no oracle's value.

They catch what all backends share, the oracle's authors' understanding among it. What they cannot do is
say that anything is right: all-zero output obeys nearly all of them. They stand beside the comparisons with
the oracle and replace none. docs/laws.md lists them.
"""

from __future__ import annotations

from normcheck.judge.laws.gradients import LINEARITY, PROJECTION, SUM
from normcheck.judge.laws.invariances import AFFINE, ALONE, ONE_GROUP, OWN_GROUPS, PERMUTATION, SCALE, SHIFT
from normcheck.judge.laws.relations import OWN, Law, Run, Trial

# In the order of reports.
LAWS = (SHIFT, SCALE, PERMUTATION, ALONE, AFFINE, SUM, PROJECTION, LINEARITY, ONE_GROUP, OWN_GROUPS)

__all__ = ["LAWS", "OWN", "Law", "Run", "Trial"]
