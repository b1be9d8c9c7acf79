"""`python -m migrate` is the command `migrate`."""

import sys
from pathlib import Path

if __name__ == "__main__" and sys.path[0] and Path(sys.path[0]).resolve() != Path(__file__).resolve().parents[1]:
    # `-m` puts the current directory first, where a file `yaml.py` would replace the package that migrate imports.
    del sys.path[0]

from migrate.cli.main import main

if __name__ == "__main__":
    main()
