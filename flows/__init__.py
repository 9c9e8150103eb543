"""Prefect's side of the house: thin wrappers around whole runs, and nothing else.

Prefect sends figures of its use to its makers unless it is told not to; it is, before it is loaded.
"""

import os

for _name, _value in (("PREFECT_SERVER_ANALYTICS_ENABLED", "false"), ("DO_NOT_TRACK", "1"),
                      ("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")):
    os.environ.setdefault(_name, _value)
