"""``python -m normcheck.worker FD DIRECTORY SPEC``: the child process that hosts one backend.

The parent starts it, never by its path. What frameworks and users' code print goes to stderr, which the parent keeps.
"""

from __future__ import annotations

from normcheck.worker.lifeline import end_first

if __name__ == "__main__":
    end_first()
    from normcheck.worker.serve import main

    main()
