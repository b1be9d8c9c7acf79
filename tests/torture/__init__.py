"""Attacks on migrate: `python -m tests.torture --help`."""
