"""Loads a checkpoint through a plan into the memory of devices; writes nothing."""
