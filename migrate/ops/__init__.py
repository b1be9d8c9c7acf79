"""Array transformations: what each does to shapes, to NumPy arrays, and how it is undone; a file per op."""
