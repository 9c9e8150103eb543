"""The canonical entities: which fields a record has, of which type, and what refers to what.

An entity is data. Mappings are compiled against it, the engine walks it, the docs print it.
`ENTITIES` is in dependency order: a record's parents always come before it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from connector.domain import values
from connector.domain.values import FieldType, Record


@dataclass(frozen=True, slots=True)
class Field:
    """One canonical field; `choices` in their declared order, `computed` where each side works it
    out by itself and it is compared, never written. The currency of an amount stands in the
    field `currency`."""

    name: str
    type: FieldType = FieldType.TEXT
    doc: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()
    to: str = ""
    computed: bool = False
    forward_only: bool = False  # a step back along `choices` is a conflict
    terminal: tuple[str, ...] = ()  # choices that may follow any other (cancelled, rejected)
    currency: str = "currency"


@dataclass(frozen=True, slots=True)
class Entity:
    """A canonical kind of record."""

    name: str
    doc: str
    fields: Mapping[str, Field]
    line_fields: Mapping[str, Field] = field(default_factory=dict)
    line_key: str = "line_no"

    @property
    def is_document(self) -> bool:
        """Whether records have line items."""
        return bool(self.line_fields)

    @property
    def parents(self) -> frozenset[str]:
        """The entities that records of this one refer to."""
        every = (*self.fields.values(), *self.line_fields.values())
        return frozenset(f.to for f in every if f.to)


def _entity(name: str, doc: str, fields: list[Field], lines: list[Field] | None = None) -> Entity:
    return Entity(name, doc, {f.name: f for f in fields}, {f.name: f for f in lines or []})


T = FieldType
_REMARK = Field("remark", doc="what the ERP says about it: price, stock, credit")
_CURRENCY = Field("currency", doc="ISO 4217", required=True)
_ACTIVE = Field("active", T.BOOLEAN, "in use; false where it was archived or deleted")
_DISCOUNTS = [
    Field("discount_percent", T.DECIMAL, "on the whole document, 0 to 100"),
    Field("discount_amount", T.MONEY, "on the whole document, after the percentage"),
    Field("tax_included", T.BOOLEAN, "its prices and discounts include tax"),
]
_RATE = [
    Field("exchange_rate", T.RATE, "units of `currency` for one of `rate_base`"),
    Field("rate_base", doc="the currency that the books are kept in"),
    Field("rate_date", T.DATE, "the day whose rate it is"),
]
_TOTALS = [
    Field("net", T.MONEY, "sum of the lines", computed=True),
    Field("tax", T.MONEY, "tax, rounded as declared", computed=True),
    Field("total", T.MONEY, "net and tax", computed=True),
    Field("total_base", T.MONEY, "the total in `rate_base`, as the books hold it",
          currency="rate_base"),
]
_ADDRESS = [
    Field("street"), Field("street2"), Field("city"), Field("region", doc="state or county"),
    Field("postal_code"), Field("country", doc="ISO 3166-1 alpha-2"),
]


def _lines(*more: Field) -> list[Field]:
    return [
        Field("line_no", T.INTEGER, "the line's key on both sides", required=True),
        Field("product", T.REFERENCE, to="product"),
        Field("description"),
        Field("quantity", T.DECIMAL, "in the product's unit", required=True),
        Field("unit_price", T.DECIMAL, "before discount and tax, in the document's currency"),
        Field("discount_percent", T.DECIMAL, "0 to 100"),
        Field("tax_percent", T.DECIMAL, "0 to 100"),
        *more,
    ]


OPPORTUNITY_STAGE = ("prospecting", "qualification", "proposal", "negotiation", "won", "lost")
QUOTE_STATUS = ("draft", "sent", "accepted", "ordered", "rejected", "expired")
ORDER_STATUS = ("draft", "confirmed", "partially_shipped", "shipped", "invoiced", "paid",
                "cancelled")
INVOICE_STATUS = ("open", "partially_paid", "paid", "credited")

ENTITIES: dict[str, Entity] = {e.name: e for e in (
    _entity("product", "What is sold: a CRM product, an ERP item.", [
        Field("sku", doc="the article number both sides know", required=True),
        Field("name", required=True), Field("description"), Field("unit"),
        Field("list_price", T.DECIMAL, "per unit, before tax"), _CURRENCY,
        Field("tax_percent", T.DECIMAL, "0 to 100"),
        Field("on_hand", T.DECIMAL, "in all warehouses"),
        Field("available", T.DECIMAL, "on hand in all warehouses, less what is promised"), _ACTIVE,
    ]),
    _entity("customer", "A company or person that buys: a CRM account, an ERP customer.", [
        Field("number", doc="the ERP's customer number"),
        Field("name", required=True), Field("vat_number"), Field("website"), Field("phone"),
        Field("email"),
        Field("segment", T.CHOICE, choices=("small", "mid_market", "enterprise", "public")),
        *_ADDRESS, _CURRENCY,
        Field("payment_terms", T.CHOICE,
              choices=("NET14", "NET30", "NET60", "COD", "PREPAID")),
        Field("credit_limit", T.MONEY), Field("balance", T.MONEY, "what is open on its invoices"),
        Field("on_hold", T.BOOLEAN, "the ERP confirms no order for it"), _ACTIVE,
    ]),
    _entity("contact", "A person at a customer.", [
        Field("customer", T.REFERENCE, to="customer", required=True),
        Field("first_name"), Field("last_name"), Field("email"), Field("phone"),
        Field("job_title"), Field("is_primary", T.BOOLEAN), _ACTIVE,
    ]),
    _entity("stock_level", "How much of a product a warehouse holds.", [
        Field("product", T.REFERENCE, to="product", required=True),
        Field("warehouse", doc="the warehouse's code", required=True),
        Field("on_hand", T.DECIMAL), Field("reserved", T.DECIMAL, "promised to orders"),
        Field("available", T.DECIMAL, "on hand less reserved"),
        Field("quoted", T.DECIMAL, "quantity in open quotes, reported by the CRM"),
        Field("counted", T.DECIMAL, "a count made in the field, reported by the CRM"),
        Field("counted_on", T.DATE),
    ]),
    _entity("opportunity", "What a customer may buy: a CRM deal, an ERP's foreseen demand.", [
        Field("number", doc="the ERP's number"), Field("name", required=True),
        Field("customer", T.REFERENCE, to="customer", required=True),
        Field("stage", T.CHOICE, choices=OPPORTUNITY_STAGE),
        Field("probability", T.DECIMAL, "0 to 100"),
        Field("amount", T.MONEY, "what it may bring, before tax"), _CURRENCY,
        Field("closes_on", T.DATE, "when it is expected to be decided"), Field("description"),
    ], [
        Field("line_no", T.INTEGER, "the line's key on both sides", required=True),
        Field("product", T.REFERENCE, to="product"), Field("description"),
        Field("quantity", T.DECIMAL, "in the product's unit", required=True),
        Field("unit_price", T.DECIMAL, "before discount and tax, in the document's currency"),
        Field("discount_percent", T.DECIMAL, "0 to 100"),
    ]),
    _entity("quote", "An offer: a CRM quote, an ERP quotation.", [
        Field("number", doc="the ERP's quotation number"),
        Field("customer", T.REFERENCE, to="customer", required=True),
        Field("opportunity", T.REFERENCE, "what it is an offer for", to="opportunity"),
        Field("status", T.CHOICE, choices=QUOTE_STATUS, forward_only=True,
              terminal=("rejected", "expired")),
        _CURRENCY, Field("valid_until", T.DATE), Field("warehouse"),
        Field("customer_reference", doc="the customer's own number for it"), _REMARK,
        *_DISCOUNTS, *_RATE, *_TOTALS,
    ], _lines()),
    _entity("order", "What a customer ordered.", [
        Field("number", doc="the ERP's order number"),
        Field("customer", T.REFERENCE, to="customer", required=True),
        Field("quote", T.REFERENCE, "the quote it was made from", to="quote"),
        Field("status", T.CHOICE, choices=ORDER_STATUS, forward_only=True,
              terminal=("cancelled",)),
        Field("amendment", T.CHOICE, "how the ERP stands to the change last asked for",
              choices=("pending", "accepted", "declined")),
        Field("amendment_reason", doc="why it waits, or was declined"),
        Field("amendment_asked", doc="names the change last asked for"),
        Field("ordered_on", T.DATE), _CURRENCY, Field("warehouse"),
        Field("customer_reference"), _REMARK, *_DISCOUNTS, *_RATE, *_TOTALS,
    ], _lines(Field("quantity_shipped", T.DECIMAL),
              Field("quantity_invoiced", T.DECIMAL, "billed; credit notes are not taken off"))),
    _entity("delivery", "A shipment for an order.", [
        Field("number"), Field("order", T.REFERENCE, to="order", required=True),
        Field("shipped_at", T.TIMESTAMP), Field("carrier"), Field("tracking_number"),
        Field("status", T.CHOICE, choices=("shipped", "cancelled")),
    ], [
        Field("line_no", T.INTEGER, "the order line's key", required=True),
        Field("product", T.REFERENCE, to="product"), Field("quantity", T.DECIMAL),
    ]),
    _entity("invoice", "An invoice or credit note.", [
        Field("number"), Field("kind", T.CHOICE, choices=("invoice", "credit_note")),
        Field("customer", T.REFERENCE, to="customer", required=True),
        Field("order", T.REFERENCE, to="order"),
        Field("credits", T.REFERENCE, "the invoice that a credit note takes back", to="invoice"),
        Field("issued_on", T.DATE), Field("due_on", T.DATE), _CURRENCY,
        Field("status", T.CHOICE, choices=INVOICE_STATUS),
        Field("balance", T.MONEY, "what is still to be paid; less than nothing is the customer's"),
        Field("disputed", T.BOOLEAN), Field("promised_on", T.DATE,
                                            "when the customer promised to pay"),
        *_DISCOUNTS, *_RATE, *_TOTALS,
    ], _lines()),
    _entity("payment", "A payment on an invoice, or one taken back.", [
        Field("number"), Field("customer", T.REFERENCE, to="customer", required=True),
        Field("invoice", T.REFERENCE, to="invoice", required=True),
        Field("amount", T.MONEY, "less than nothing where it was paid back", required=True),
        _CURRENCY, Field("paid_on", T.DATE), Field("reference", doc="the bank's"),
    ]),
)}


def _iso(value: Any) -> str:
    return value.isoformat()  # type: ignore[no-any-return]


def _instant(value: Any) -> datetime:
    return values.utc(datetime.fromisoformat(value))


_PACK: dict[FieldType, Callable[[Any], Any]] = {
    T.DECIMAL: str, T.MONEY: str, T.RATE: str, T.DATE: _iso, T.TIMESTAMP: _iso}
_UNPACK: dict[FieldType, Callable[[Any], Any]] = {
    T.DECIMAL: Decimal, T.MONEY: Decimal, T.RATE: Decimal, T.DATE: date.fromisoformat,
    T.TIMESTAMP: _instant}


Conversions = tuple[tuple[str, Callable[[Any], Any]], ...]


def _conversions(fields: Mapping[str, Field],
                 by_type: Mapping[FieldType, Callable[[Any], Any]]) -> Conversions:
    return tuple((name, by_type[f.type]) for name, f in fields.items() if f.type in by_type)


_PACKING = {e.name: (_conversions(e.fields, _PACK), _conversions(e.line_fields, _PACK))
            for e in ENTITIES.values()}
_UNPACKING = {e.name: (_conversions(e.fields, _UNPACK), _conversions(e.line_fields, _UNPACK))
              for e in ENTITIES.values()}


_REFERRING = {e.name: ([n for n, f in e.fields.items() if f.to],
                       [n for n, f in e.line_fields.items() if f.to]) for e in ENTITIES.values()}


def pack(entity: Entity, record: Record) -> dict[str, Any]:
    """`record` as JSON-ready data, to be kept in the store or a plan file."""
    return _converted(record, *_PACKING[entity.name])


def unpack(entity: Entity, data: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `pack`."""
    return _converted(data, *_UNPACKING[entity.name])


def redirected(entity: Entity, record: dict[str, Any],
               became: Mapping[str, str]) -> dict[str, Any]:
    """`record` with references to canonical IDs that became part of another naming that one."""
    if not became:
        return record
    header, of_line = _REFERRING[entity.name]
    for part, names in ((record, header), *((line, of_line) for line in record.get("lines", ()))):
        for name in names:
            if part.get(name) in became:
                part[name] = became[part[name]]
    return record


def unreferenced(entity: Entity, packed: Mapping[str, Any],
                 canonical_ids: Collection[str]) -> dict[str, Any]:
    """A packed record without its references to these canonical IDs."""
    header, of_line = _REFERRING[entity.name]

    def less(part: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
        return {name: value for name, value in part.items()
                if name not in names or value not in canonical_ids}

    result = less(packed, header)
    if "lines" in result:
        result["lines"] = [less(line, of_line) for line in result["lines"]]
    return result


def _converted(source: Mapping[str, Any], header: Conversions,
               of_lines: Conversions) -> dict[str, Any]:
    result = dict(source)
    for name, convert in header:
        value = result.get(name)
        if value is not None:
            result[name] = convert(value)
    if of_lines and "lines" in result:
        result["lines"] = [_converted(line, of_lines, ()) for line in result["lines"]]
    return result
