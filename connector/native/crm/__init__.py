"""The reference CRM: accounts, contacts, products, opportunities, quotes, and what a sync tells it
of orders, shipments, invoices and stock."""

from __future__ import annotations

from connector.native.crm.app import create_app
from connector.native.crm.load import load

__all__ = ["create_app", "load"]
