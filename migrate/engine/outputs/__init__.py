"""What DST can be: an Orbax checkpoint or a single file."""
