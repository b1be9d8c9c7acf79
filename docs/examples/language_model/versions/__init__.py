"""The code of each version, as the history of a repository has it. Only the newest is in use; tests train them all."""
