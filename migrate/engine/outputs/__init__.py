"""Outputs: the kinds of DST, an Orbax checkpoint or a single file."""
