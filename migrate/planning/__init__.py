"""RuleSet × abstract trees → Plan. Pure: no I/O, no array, no JAX."""
