"""BottleCRM (django-crm): REST without locks, bulk calls or a change feed, read by full sweeps."""

from connector.adapters.bottlecrm.adapter import BottleCrm, BottleCrmSettings

__all__ = ["BottleCrm", "BottleCrmSettings"]
