"""`python -m asyncref`: the command line where no script is on the PATH."""

from __future__ import annotations

import sys

from asyncref.cli import main

if __name__ == "__main__":
    sys.exit(main())
