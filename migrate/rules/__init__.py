"""Rule files: YAML text becomes a `RuleSet` in which every pattern, op and field knows its place in the file."""
