"""What tests of ops, readers and migrations need, for this package's own tests and for those of others."""
