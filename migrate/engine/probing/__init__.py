"""Comparing what the old model and the new one compute."""
