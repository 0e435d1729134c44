"""``python -m normcheck.worker FD SPEC``: the child process that hosts one backend.

The parent starts it, never by its path. What frameworks and users' code print goes to stderr, which the parent keeps.
"""

from __future__ import annotations

from normcheck.worker.lifeline import tied

if __name__ == "__main__":
    tied()
    from normcheck.worker.serve import main

    main()
