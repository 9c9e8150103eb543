"""Prefect's side of the house: thin wrappers around whole runs, and nothing else."""
