"""Rule files: reads YAML text into a `RuleSet` whose patterns, ops and fields record their location in the file."""
