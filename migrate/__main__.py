"""`python -m migrate` is the command `migrate`."""

import os
import sys
from pathlib import Path

if __name__ == "__main__" and not sys.flags.safe_path:
    # `-m` puts the current directory first, where a file `yaml.py` would replace the package that migrate imports.
    package, first = Path(__file__).resolve().parents[1], sys.path[0]
    if first and os.path.isdir(first) and os.path.samefile(first, os.curdir) and not package.samefile(first):
        del sys.path[0]

from migrate.cli.main import main

if __name__ == "__main__":
    main()
