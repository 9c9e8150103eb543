"""The reference backend: a small CRM and a small ERP, each an ASGI app with its own database.

They import nothing of the connector and are reached over HTTP only, so its adapters can't cheat.
"""
