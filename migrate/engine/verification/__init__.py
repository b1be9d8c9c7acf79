"""Verification: the written checkpoint compared with the plan and the source."""
