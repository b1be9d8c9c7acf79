"""Chunk shapes of a target: how much of them each device of a mesh decodes, and which ones suit the loads to come."""
