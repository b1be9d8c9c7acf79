"""Makes a plan from a rule set and abstract trees, without file access, array data or JAX."""
