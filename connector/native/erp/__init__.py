"""The reference ERP: customers, items, stock, quotations, orders, invoices, payments."""

from __future__ import annotations

from connector.native.erp.app import create_app
from connector.native.erp.load import load

__all__ = ["create_app", "load"]
