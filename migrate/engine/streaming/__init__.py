"""Arrays that are read, transformed and written under a memory budget."""
