"""``python -m normcheck`` is the command ``normcheck``."""

from normcheck.cli import main

main()
