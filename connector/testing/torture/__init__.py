"""The torture test: simulated systems, faults and users, and what has to hold after all of it."""
