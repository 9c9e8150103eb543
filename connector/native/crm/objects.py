"""The CRM's objects and their fields, in its own words.

Money is a whole number of millionths in fields ending `Micros`; quantities and percentages are
JSON numbers; instants are UTC with Z, dates ISO.
"""

from __future__ import annotations

from connector.native.crm.words import (
    LONGEST_ID,
    number,
    required_text,
    text,
    utc_instant,
    whole,
)
from connector.native.fields import F, Spec, anything, boolean, choice, code, iso_date, rate

LARGEST_LINE_NO = 999_999_999
QUOTE_OPEN = ("Sent", "Accepted")


def _flag(default: bool = False) -> F:
    return F(boolean, default=default, json="boolean")


def _text(longest: int = 255) -> F:
    return F(text(longest))


def _number(default: int | None = None) -> F:
    return F(number, default=default, json="number")


def _micros(*, read_only: bool = False) -> F:
    return F(whole(), read_only=read_only, json="integer")


def _ref(object: str, *, required: bool = False) -> F:
    return F(text(LONGEST_ID), required=required, ref=object)


def _lines(*, required: bool = True, **more: F) -> F:
    line: dict[str, F] = {
        "lineNo": F(whole(0, LARGEST_LINE_NO), json="integer"), "productId": _ref("products"),
        "description": _text(1000), "quantity": F(number, required=True, json="number"),
        "unitPriceMicros": _micros(), "discountPercent": _number(0), "taxPercent": _number(0),
        **more, "netMicros": _micros(read_only=True)}
    return F(anything, required=required, nested=line, json="array")


_CURRENCY = F(code(3), required=True)
_TERMS = {"discountPercent": _number(0), "discountMicros": F(whole(), default=0, json="integer"),
          "taxIncluded": _flag(), "exchangeRate": F(rate), "companyCurrency": F(code(3)),
          "rateDate": F(iso_date), "totalCompanyMicros": _micros()}
_SUMS = {"netMicros": _micros(read_only=True), "taxMicros": _micros(read_only=True),
         "totalMicros": _micros(read_only=True)}

_SYNC = {"syncState": _text(40), "syncedAt": F(utc_instant), "syncError": _text()}
"""How a record stands with another system, as whoever syncs it says."""

_OWN: dict[str, dict[str, F]] = {
    "accounts": {
        "name": F(required_text(200), required=True), "vatNumber": _text(40),
        "website": _text(), "phone": _text(60), "email": _text(),
        "segment": F(choice("smb", "mid_market", "enterprise", "public")),
        "status": F(choice("prospect", "customer", "former"), default="prospect"),
        "language": _text(10), "street": _text(), "street2": _text(), "city": _text(),
        "region": _text(), "postalCode": _text(20), "country": F(code(2)),
        "currency": F(code(3), default="EUR"), "ownerId": _ref("users"), "active": _flag(True),
        "erpNumber": _text(40), "creditLimitMicros": _micros(), "balanceMicros": _micros(),
        "paymentTerms": F(choice("NET_14", "NET_30", "NET_60", "COD", "PREPAID")),
        "creditHold": F(boolean, json="boolean"), **_SYNC,
    },
    "contacts": {
        "accountId": _ref("accounts", required=True), "firstName": _text(), "lastName": _text(),
        "email": _text(), "phone": _text(60), "jobTitle": _text(), "isPrimary": _flag(),
        "active": _flag(True),
    },
    "products": {
        "sku": F(required_text(60), required=True), "name": F(required_text(), required=True),
        "description": _text(4000), "unit": F(text(20), default="each"),
        "listPriceMicros": _micros(), "currency": F(code(3), default="EUR"),
        "taxPercent": _number(), "active": _flag(True),
    },
    "opportunities": {
        "accountId": _ref("accounts", required=True), "name": F(required_text(), required=True),
        "stage": F(choice("qualify", "propose", "negotiate", "won", "lost"), default="qualify"),
        "amountMicros": _micros(), "currency": F(code(3), default="EUR"),
        "probability": F(whole(0, 100), json="integer"), "closeDate": F(iso_date),
        "ownerId": _ref("users"),
    },
    "quotes": {
        "number": _text(40), "accountId": _ref("accounts", required=True),
        "contactId": _ref("contacts"), "opportunityId": _ref("opportunities"),
        "status": F(choice("Draft", "Sent", "Accepted", "Rejected", "Expired", "Ordered"),
                    default="Draft"),
        "currency": _CURRENCY, "validUntil": F(iso_date), "warehouse": _text(20),
        "customerReference": _text(), "lines": _lines(remark=_text(1000)), **_TERMS, **_SUMS,
        "remark": _text(4000), "erpQuoteNumber": _text(40), **_SYNC,
    },
    "orders": {
        "number": _text(40), "accountId": _ref("accounts", required=True),
        "quoteId": _ref("quotes"),
        "status": F(choice("Draft", "Confirmed", "PartiallyShipped", "Shipped", "Invoiced", "Paid",
                           "Cancelled"), default="Draft"),
        "orderDate": F(iso_date), "currency": _CURRENCY, "warehouse": _text(20),
        "customerReference": _text(),
        "lines": _lines(quantityShipped=_number(0), quantityInvoiced=_number(0)),
        **_TERMS, **_SUMS,
        "remark": _text(4000), "erpOrderNumber": _text(40), **_SYNC,
    },
    "shipments": {
        "orderId": _ref("orders", required=True), "number": _text(40), "shippedAt": F(utc_instant),
        "carrier": _text(), "trackingNumber": _text(),
        "status": F(choice("Shipped", "Cancelled"), default="Shipped"),
        "lines": F(anything, json="array", nested={
            "lineNo": F(whole(0, LARGEST_LINE_NO), json="integer"), "productId": _ref("products"),
            "quantity": F(number, required=True, json="number")}),
    },
    "invoices": {
        "number": _text(40), "kind": F(choice("invoice", "credit_note"), default="invoice"),
        "accountId": _ref("accounts", required=True), "orderId": _ref("orders"),
        "creditsInvoiceId": _ref("invoices"), "issuedOn": F(iso_date), "dueOn": F(iso_date),
        "currency": _CURRENCY,
        "status": F(choice("Open", "PartiallyPaid", "Paid", "Credited"), default="Open"),
        "lines": _lines(required=False), **_TERMS, **_SUMS,
        "balanceMicros": _micros(), "disputed": _flag(),
        "promisedPaymentDate": F(iso_date),
    },
    "payments": {
        "number": _text(40), "accountId": _ref("accounts", required=True),
        "invoiceId": _ref("invoices", required=True), "amountMicros": F(
            whole(), required=True, json="integer"), "currency": _CURRENCY,
        "paidOn": F(iso_date), "reference": _text(),
    },
    "stockLevels": {
        "productId": _ref("products", required=True),
        "warehouse": F(required_text(20), required=True), "onHand": _number(),
        "reserved": _number(), "available": _number(),
        "quoted": F(number, default=0, read_only=True, json="number"),
        "countedQuantity": _number(), "countedOn": F(iso_date),
    },
    "users": {"name": F(required_text(), required=True), "email": _text()},
}

MERGED = ("accounts", "contacts")
"""Objects whose records can be merged; a tombstone tells what its record became part of."""

for _name in MERGED:
    _OWN[_name]["mergedInto"] = F(anything, read_only=True)

_META: dict[str, F] = {"externalRef": F(text(255))}
_ANSWERED: dict[str, F] = {
    name: F(anything, read_only=True, json=kind) for name, kind in
    (("id", "string"), ("createdAt", "string"), ("updatedAt", "string"), ("deleted", "boolean"),
     ("etag", "string"))}

OBJECTS: dict[str, Spec] = {name: {**fields, **_META} for name, fields in _OWN.items()}
"""What callers may write, by object."""

ANSWERED: dict[str, Spec] = {name: {**spec, **_ANSWERED} for name, spec in OBJECTS.items()}
"""What is answered, by object."""

PREFIX = {"accounts": "acc", "contacts": "con", "products": "prd", "opportunities": "opp",
          "quotes": "quo", "orders": "ord", "shipments": "shp", "invoices": "inv",
          "payments": "pay",
          "stockLevels": "stk", "users": "usr"}
NUMBERED = {"quotes": "Q", "orders": "O"}
UNIQUE = {"products": "sku", "stockLevels": "warehouse"}
"""Objects whose natural key belongs to one record, and the field that is told where it is taken."""
DOCUMENTS = ("quotes", "orders", "invoices")
AMOUNTS = {"creditLimitMicros": "currency", "balanceMicros": "currency",
           "amountMicros": "currency", "discountMicros": "currency",
           "totalCompanyMicros": "companyCurrency"}
"""Fields with amounts, and those with their currencies."""


def natural_key(object: str, data: dict[str, object]) -> str | None:
    """What makes a record unique besides its ID, and what lists can be filtered by."""
    if object == "products":
        return str(data["sku"])
    if object == "stockLevels":
        return f"{data['productId']}@{data['warehouse']}"
    if object == "accounts" and data.get("vatNumber"):
        return str(data["vatNumber"])
    return None
