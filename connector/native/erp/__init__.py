"""The reference ERP: customers, items, stock, quotations, orders, invoices, payments."""

from __future__ import annotations

from connector.native.erp.app import create_app, load

__all__ = ["create_app", "load"]
