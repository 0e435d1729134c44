"""From what the user selects to the cases to run; impossible parameters are refused here, before any work."""

from normcheck.plan.cases import plan
from normcheck.plan.selection import DEFAULT_FIXTURES, Plan, PlannedCase, Selection

__all__ = ["DEFAULT_FIXTURES", "Plan", "PlannedCase", "Selection", "plan"]
