"""The working directory beside DST: its lock, its journal, resuming, and publishing its result."""
