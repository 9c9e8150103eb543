"""CRM↔ERP sync connector: start reading at `bootstrap.py`, then `engine/run.py`."""

__version__ = "0.1.0"
