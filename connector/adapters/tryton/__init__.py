"""Tryton 8, over JSON-RPC."""

from connector.adapters.tryton.adapter import Tryton
from connector.adapters.tryton.rpc import TrytonSettings

__all__ = ["Tryton", "TrytonSettings"]
