"""Orders as canonical records, and their lines."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from connector.domain.values import Record


def line(line_no: int, quantity: int, **more: Any) -> dict[str, Any]:
    """A line of an order."""
    return {"line_no": line_no, "product": "p", "description": None,
            "quantity": Decimal(quantity), "unit_price": Decimal(2),
            "discount_percent": Decimal(0), "tax_percent": Decimal(19),
            "quantity_shipped": Decimal(0), **more}


def order(*lines: dict[str, Any], **more: Any) -> Record:
    """An order with these lines."""
    return {"status": "draft", "lines": list(lines), **more}


TEN, TWENTY = line(10, 1), line(20, 2)
