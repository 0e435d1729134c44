"""``python -m normcheck.backends WORDS``: the built-in backends that are meant, one a line, for scripts.

WORDS is a comma-separated list of names, ``default``, ``all`` (but those that are run by hand) and ``others``.
"""

from __future__ import annotations

import sys

from normcheck.backends import chosen

if __name__ == "__main__":
    for name in chosen(sys.argv[1]):
        print(name)
