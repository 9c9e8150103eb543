"""BottleCRM's objects as data: where they stand, and which fields are read and written."""

from __future__ import annotations

from dataclasses import dataclass, field

REFERENCE = "connector_ref"
"""The custom field, or the note, that keeps the reference a record was made for."""
ORDER = "connector_order"
"""The custom field of an estimate that keeps the reference of the order it bears."""
PROGRESS = "progress"
"""The custom field of an estimate in which the ERP says how far its order is."""
QUOTE_STATUS = "quote_status"
"""The custom field of an estimate in which the ERP says how far its quotation is."""
UNFINISHED = " ..."
"""Stands behind the reference of a record whose lines are still being made."""


@dataclass(frozen=True, slots=True)
class Part:
    """Where a list's answer holds rows, and how many there are in all."""

    within: str
    rows: str
    count: str


@dataclass(frozen=True, slots=True)
class BottleObject:
    """One kind of record: `fields` are read and make up its version, `writable` can be sent.

    `target` is BottleCRM's word for it in definitions of custom fields; objects without it take
    none, and keep `notes` at the end of their description. `within` is where an answer holds the
    record, `issue` the call that makes a new document count. Where `whole_rows` is false, a list
    says too little, and each record is read by itself. `mark` is the custom field that keeps the
    reference, `told` the one in which the ERP says how far it is, `line_fields` what a line takes.
    Where `lines_apart`, lines are records of their own. What `stands_on` another record is that
    record, once it bears the mark; only those that `query` finds do.
    """

    path: str
    fields: tuple[str, ...]
    writable: frozenset[str]
    within: str
    parts: tuple[Part, ...]
    target: str = ""
    method: str = "PATCH"
    query: dict[str, str] = field(default_factory=dict)
    mark: str = REFERENCE
    told: str = ""
    whole_rows: bool = True
    notes: tuple[str, ...] = ()
    line_fields: frozenset[str] = frozenset()
    lines_apart: bool = False
    stands_on: str = ""
    issue: str = ""

    @property
    def lines_read(self) -> frozenset[str]:
        """What a line says."""
        return self.line_fields | {"net_amount"} if self.line_fields else frozenset()


LINE_FIELDS = frozenset({"product", "name", "description", "quantity", "unit_price",
                         "discount_percent", "tax_rate", "order"})
"""What a line of a document takes; one of an opportunity bears no tax."""

_ADDRESS = ("address_line", "city", "state", "postcode", "country")
_CLIENT = ("client_name", "client_email", "client_phone", "client_address_line", "client_city",
           "client_state", "client_postcode", "client_country")
_ESTIMATE = ("estimate_number status accepted_at accepted_by_name accepted_by_email created_at "
             "subtotal discount_amount tax_amount total_amount")
_PAGE = (Part("", "results", "count"),)


def _object(path: str, writable: str, read_only: str, within: str, **more: object) -> BottleObject:
    sent = tuple(writable.split())
    return BottleObject(path, (*sent, *read_only.split()), frozenset(sent), within,
                        **more)  # type: ignore[arg-type]


OBJECTS: dict[str, BottleObject] = {
    "accounts": _object(
        "/api/accounts/",
        "name email phone website industry number_of_employees annual_revenue currency "
        f"description is_active custom_fields {' '.join(_ADDRESS)}", "created_at",
        "account_obj", target="Account", parts=(
            Part("active_accounts", "open_accounts", "open_accounts_count"),
            Part("closed_accounts", "close_accounts", "close_accounts_count"))),
    "contacts": _object(
        "/api/contacts/",
        "first_name last_name email phone organization title department do_not_call "
        f"linkedin_url description account is_active custom_fields {' '.join(_ADDRESS)}",
        "created_at", "contact_obj", target="Contact", parts=_PAGE),
    "products": _object(
        "/api/invoices/products/",
        "name description sku price currency category is_active custom_fields", "created_at",
        "", parts=_PAGE, method="PUT", notes=("on_hand", "available")),
    "opportunities": _object(
        "/api/opportunities/",
        "name account stage opportunity_type currency amount probability closed_on lead_source "
        "description is_active custom_fields line_items",
        "pipeline stage_label stage_kind amount_source created_at", "opportunity_obj",
        target="Opportunity", parts=(Part("", "opportunities", "opportunities_count"),),
        line_fields=LINE_FIELDS - {"tax_rate"}, lines_apart=True),
    "estimates": _object(
        "/api/invoices/estimates/",
        "title account_id contact_id opportunity_id discount_type discount_value tax_rate currency "
        "issue_date expiry_date notes terms introduction custom_fields line_items "
        f"{QUOTE_STATUS} {' '.join(_CLIENT)}", _ESTIMATE,
        "estimate", target="Estimate", parts=_PAGE, method="PUT", whole_rows=False,
        told=QUOTE_STATUS, line_fields=LINE_FIELDS),
    "orders": _object(
        "/api/invoices/estimates/", f"estimate_id custom_fields {PROGRESS}",
        "title account_id contact_id opportunity_id discount_type discount_value tax_rate currency "
        f"issue_date notes terms line_items {_ESTIMATE}",
        "estimate", target="Estimate", parts=_PAGE, method="PUT", whole_rows=False,
        query={"status": "Accepted"}, mark=ORDER, told=PROGRESS, line_fields=LINE_FIELDS,
        stands_on="estimate_id"),
    "invoices": _object(
        "/api/invoices/",
        "invoice_title account_id contact_id opportunity_id discount_type discount_value tax_rate "
        "shipping_amount currency issue_date due_date payment_terms notes terms billing_period "
        f"po_number custom_fields line_items amount_due {' '.join(_CLIENT)}",
        "invoice_number status amount_paid paid_at created_at subtotal discount_amount tax_amount "
        "total_amount",
        "invoice", target="Invoice", parts=_PAGE, method="PUT", query={"sort": "created_at"},
        whole_rows=False, line_fields=LINE_FIELDS, issue="send/"),
}
