"""The command line: arguments, streams, colors and exit codes. A thin layer over `migrate.api`."""
