"""Probes: outputs of the old model compared with outputs of the new one."""
