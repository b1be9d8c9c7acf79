"""`python -m migrate` is the command `migrate`."""

from migrate.cli.main import main

if __name__ == "__main__":
    main()
