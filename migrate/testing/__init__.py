"""Test support for ops, readers and migrations: for this package's own tests and for those of other packages."""
