"""The command line: arguments, streams, colours, exit codes. A thin shell over `migrate.api`; nobody imports it."""
