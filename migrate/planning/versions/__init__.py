"""Versions of a model: rule files as a graph, paths through it, and the plans of a path as one plan."""
