"""Orbax items, steps and metadata."""
