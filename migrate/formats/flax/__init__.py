"""Msgpack files that Flax wrote."""
