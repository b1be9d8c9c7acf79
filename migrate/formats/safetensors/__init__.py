"""Safetensors files, alone or with an index."""
