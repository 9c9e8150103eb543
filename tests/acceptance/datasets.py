"""Turns real data sets into seeds of the native systems: folders of CSV files.

The data sets lie beside the project where it is developed; on a clone without them the tests that
need them are skipped. Quotes, invoices and payments are not in them and are derived here.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[2].parent / "shared" / "data"
ABSENT = "the real data sets are not beside this clone"
_COUNTRIES = {"Germany": "DE", "Mexico": "MX", "UK": "GB", "Sweden": "SE", "France": "FR",
              "Spain": "ES", "Canada": "CA", "Argentina": "AR", "Switzerland": "CH",
              "Brazil": "BR", "Austria": "AT", "Italy": "IT", "Portugal": "PT", "USA": "US",
              "Venezuela": "VE", "Ireland": "IE", "Belgium": "BE", "Norway": "NO",
              "Denmark": "DK", "Finland": "FI", "Poland": "PL"}


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [{k: (v or "").strip() for k, v in row.items()} for row in csv.DictReader(file)]


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    listed = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, listed[0].keys())
        writer.writeheader()
        writer.writerows(listed)


def adventureworks(target: Path, source: Path = HERE / "adventureworks") -> Path:
    """701 accounts with contacts in the CRM; 19,820 customers, items, stock and orders in the
    ERP. The IDs that tell which customer is which account are left out."""
    crm, erp = source / "crm", source / "erp"
    _write(target / "crm" / "accounts.csv", ({
        "id": f"acc_{a['BusinessEntityID']}", "name": a["Name"], "street": a["AddressLine1"],
        "street2": a["AddressLine2"], "city": a["City"], "region": a["StateProvinceCode"],
        "postalCode": a["PostalCode"], "country": a["CountryRegionCode"], "currency": "USD"}
        for a in _read(crm / "accounts.csv")))
    _write(target / "crm" / "contacts.csv", ({
        "accountId": f"acc_{c['BusinessEntityID']}", "firstName": c["FirstName"],
        "lastName": c["LastName"], "email": c["EmailAddress"], "phone": c["PhoneNumber"],
        "jobTitle": c["Role"]} for c in _read(crm / "contacts.csv")))
    _write(target / "erp" / "customers.csv", ({
        "id": c["CustomerID"], "kind": c["Kind"], "display_name": c["Name"] or c["AccountNumber"],
        "mail": c["Email"], "tel": c["Phone"], "address.line1": c["AddressLine1"],
        "address.town": c["City"], "address.county": c["StateProvinceCode"],
        "address.zip": c["PostalCode"], "address.country_code": c["CountryRegionCode"],
        "finance.credit_limit": "10000000.00", "finance.currency_code": "USD"}
        for c in _read(erp / "customers.csv")))
    _write(target / "erp" / "items.csv", ({
        "id": i["ProductID"], "item_code": i["ProductNumber"], "label": i["Name"],
        "base_price": f"{Decimal(i['ListPrice']):f}",
        "currency_code": "USD"}
        for i in _read(erp / "items.csv")))
    _write(target / "erp" / "warehouses.csv", ({
        "id": w["LocationID"], "code": w["LocationID"], "name": w["Name"]}
        for w in _read(erp / "warehouses.csv")))
    _write(target / "erp" / "stock_levels.csv", ({
        "item_id": s["ProductID"], "warehouse": s["LocationID"], "on_hand": s["Quantity"]}
        for s in _read(erp / "stock.csv")))
    orders = _read(erp / "sales_orders.csv")
    _write(target / "erp" / "sales_orders.csv", ({
        "id": i, "customer_id": o["CustomerID"], "your_ref": o["SalesOrderID"],
        "ordered_on": _dmy(o["OrderDate"]), "currency_code": "USD", "warehouse": "1"}
        for i, o in enumerate(orders, start=1)))
    number = {o["SalesOrderID"]: i for i, o in enumerate(orders, start=1)}
    _write(target / "erp" / "sales_orders.lines.csv", ({
        "document": number[ln["SalesOrderID"]], "line_no": ln["SalesOrderDetailID"],
        "item_id": ln["ProductID"], "qty": ln["OrderQty"], "price": ln["UnitPrice"],
        "disc_pct": _percent(ln["UnitPriceDiscount"])}
        for ln in _read(erp / "sales_order_lines.csv")))
    return target


def northwind(target: Path, source: Path = HERE / "northwind") -> Path:
    """93 customers, 77 products and 830 orders. Orders with an even number are derived quotes in
    the CRM, accepted; the others stand in the ERP, shipped and invoiced (derived) where they
    were shipped."""
    customers, products = _read(source / "customers.csv"), _read(source / "products.csv")
    orders, details = _read(source / "orders.csv"), _read(source / "order_details.csv")
    number = {c["CustomerID"]: i for i, c in enumerate(customers, start=1)}
    lines: dict[str, list[dict[str, str]]] = defaultdict(list)
    for detail in details:
        lines[detail["OrderID"]].append(detail)
    _northwind_masters(target, customers, products, number)
    born_in_crm = [o for o in orders if int(o["OrderID"]) % 2 == 0]
    born_in_erp = [o for o in orders if int(o["OrderID"]) % 2]
    _write(target / "crm" / "quotes.csv", ({
        "id": f"quo_{o['OrderID']}", "accountId": f"acc_{o['CustomerID']}", "status": "Accepted",
        "currency": "USD", "warehouse": "MAIN", "customerReference": o["OrderID"]}
        for o in born_in_crm))
    _write(target / "crm" / "quotes.lines.csv", ({
        "document": f"quo_{o['OrderID']}", "productId": f"prd_{d['ProductID']}",
        "lineNo": d["ProductID"], "quantity": d["Quantity"],
        "unitPriceMicros": int(Decimal(d["UnitPrice"]) * 1_000_000),
        "discountPercent": _percent(d["Discount"]), "taxPercent": 19}
        for o in born_in_crm for d in lines[o["OrderID"]]))
    _write(target / "erp" / "sales_orders.csv", ({
        "id": i, "customer_id": number[o["CustomerID"]], "your_ref": o["OrderID"],
        "ordered_on": _dmy(o["OrderDate"]), "currency_code": "USD", "warehouse": "MAIN"}
        for i, o in enumerate(born_in_erp, start=1)))
    _write(target / "erp" / "sales_orders.lines.csv", ({
        "document": i, "line_no": d["ProductID"], "item_id": d["ProductID"],
        "qty": d["Quantity"], "price": d["UnitPrice"], "disc_pct": _percent(d["Discount"]),
        "tax_pct": "19"}
        for i, o in enumerate(born_in_erp, start=1) for d in lines[o["OrderID"]]))
    shipped = [i for i, o in enumerate(born_in_erp, start=1) if o["ShippedDate"]]
    _write(target / "erp" / "actions.csv", [
        {"action": action, "id": i} for action, ids in (
            ("confirm", range(1, len(born_in_erp) + 1)), ("ship", shipped),
            ("invoice", shipped)) for i in ids])
    return target


def _northwind_masters(target: Path, customers: Sequence[Mapping[str, str]],
                       products: Sequence[Mapping[str, str]], number: Mapping[str, int]) -> None:
    _write(target / "crm" / "accounts.csv", ({
        "id": f"acc_{c['CustomerID']}", "name": c["CompanyName"], "street": c["Address"],
        "city": c["City"], "region": c["Region"], "postalCode": c["PostalCode"],
        "country": _COUNTRIES.get(c["Country"], ""), "phone": c["Phone"],
        "currency": "USD"} for c in customers))
    _write(target / "crm" / "contacts.csv", ({
        "accountId": f"acc_{c['CustomerID']}", "lastName": c["ContactName"],
        "jobTitle": c["ContactTitle"]} for c in customers))
    _write(target / "crm" / "products.csv", ({
        "id": f"prd_{p['ProductID']}", "sku": f"NW-{int(p['ProductID']):03d}",
        "name": p["ProductName"], "currency": "USD"} for p in products))
    _write(target / "erp" / "customers.csv", ({
        "id": number[c["CustomerID"]], "display_name": c["CompanyName"],
        "address.line1": c["Address"], "address.town": c["City"],
        "address.country_code": _COUNTRIES.get(c["Country"], ""),
        "finance.credit_limit": "10000000.00", "finance.currency_code": "USD"} for c in customers))
    _write(target / "erp" / "items.csv", ({
        "id": p["ProductID"], "item_code": f"NW-{int(p['ProductID']):03d}",
        "label": p["ProductName"], "base_price": p["UnitPrice"], "currency_code": "USD",
        "tax_pct": "19"} for p in products))
    _write(target / "erp" / "warehouses.csv", [{"id": 1, "code": "MAIN", "name": "Main"}])
    _write(target / "erp" / "stock_levels.csv", ({
        "item_id": p["ProductID"], "warehouse": "MAIN", "on_hand": p["UnitsInStock"]}
        for p in products))


def _dmy(text: str) -> str:
    year, month, day = text[:10].split("-")
    return f"{day}.{month}.{year}"


def _percent(share: str) -> str:
    """A discount share (0.15) as a percentage; the sources hold shares rounded to cents."""
    return f"{(Decimal(share) * 100).quantize(Decimal(1)):f}"
