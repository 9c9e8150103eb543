"""Customers and contacts: Tryton keeps both as parties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from connector.adapters.tryton.kind import Found, OneForOne, Source, Unfit, Values, by, each
from connector.adapters.tryton.rpc import Row
from connector.domain.records import Intent, ObjectSchema, Payload, RemoteRecord
from connector.errors import RequestRefused

MECHANISMS = ("phone", "mobile", "fax", "email", "website")
_EU = frozenset("""AT BE BG CY CZ DE DK EE EL ES FI FR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK
    XI""".split())  # noqa: SIM905
_ADDRESS = ("street", "street2", "city", "postal_code", "subdivision", "country")
_KEPT_BLANK = "\N{NO-BREAK SPACE}"


def _ordered(rows: Sequence[Row]) -> list[Row]:
    """Those in use, in Tryton's order: without a number first."""
    return sorted((row for row in rows if row["active"]),
                  key=lambda row: (row["sequence"] is not None, row["sequence"] or 0, row["id"]))


class _Parties(OneForOne):
    """What both kinds of parties share: mechanisms, and the reference as an identifier that has
    no type."""

    model = "party.party"
    fields = ("name", "code", "active", "_timestamp",
              *(f"contact_mechanisms.{f}" for f in ("type", "value", "sequence", "active",
                                                    "_timestamp")),
              *(f"identifiers.{f}" for f in ("type", "code", "code_compact", "sequence", "active",
                                             "_timestamp")))
    locks: ClassVar[Mapping[str, str]] = {"contact_mechanisms": "party.contact_mechanism",
                                          "identifiers": "party.identifier"}
    sources: ClassVar[tuple[Source, ...]] = (
        Source("party.party"), Source("party.contact_mechanism", "party"),
        Source("party.identifier", "party"))

    _contact_type: int | None = None

    def referenced(self, references: Sequence[str]) -> dict[str, int]:
        rows = self.rpc.read("party.identifier", [
            ["code", "in", list(references)], ["type", "=", None]], ["code", "party"],
            order=[["party", "ASC"]])
        if not rows:
            return {}
        ours = set(self.rpc.ids(self.model, [
            ["id", "in", sorted({row["party"] for row in rows})], *self.domain()]))
        found: dict[str, int] = {}
        for row in rows:
            if row["party"] in ours and row["party"] < found.get(row["code"], row["party"] + 1):
                found[row["code"]] = row["party"]
        return found

    def references(self, rows: Sequence[Row]) -> dict[int, str]:
        """The reference of each row that is the oldest with it: a copy keeps the identifiers."""
        codes = {i["code"]: row["id"] for row in rows for i in row["identifiers."]
                 if i["type"] is None and ":" in i["code"]}
        return {id: code for code, id in self.referenced(list(codes)).items()} if codes else {}

    def contact_type(self) -> int | None:
        """The type of relation that makes a person a contact; None where there is none."""
        if "relations" not in self.described(self.model):
            return None
        if self._contact_type is None:
            name = self.rpc.settings.contact_relation
            rows = self.rpc.read("party.relation.type", [["name", "=", name]], ["name"])
            self._contact_type = int(rows[0]["id"]) if rows else None
        return self._contact_type

    def _mechanism_of(self, row: Row | None, type: str) -> Row | None:
        rows = [] if row is None else [m for m in row["contact_mechanisms."] if m["type"] == type]
        return next(iter(_ordered(rows)), None)

    def _mechanisms(self, row: Row) -> Values:
        found = {type: self._mechanism_of(row, type) for type in MECHANISMS}
        return {type: one and one["value"] for type, one in found.items()}

    def _mechanism_changes(self, payload: Payload, row: Row | None) -> list[Any]:
        """What to do to a party's mechanisms so that the payload's hold."""
        steps: list[Any] = []
        for type, value in (payload.get("contact_mechanisms") or {}).items():
            if type not in MECHANISMS:
                raise Unfit(f"Tryton has no contact mechanism {type!r} here.")
            there = self._mechanism_of(row, type)
            if there is None and value:
                steps.append(["create", [{"type": type, "value": value}]])
            elif there is not None and not value:
                steps.append(["delete", [there["id"]]])
            elif there is not None and value != there["value"]:
                steps.append(["write", [there["id"]], {"value": value}])
        return steps


class Customers(_Parties):
    """Parties that are neither contacts nor the Tryton's own companies and employees."""

    object = "customers"
    fields = (*_Parties.fields, "tax_identifier", "customer_payment_term.name", "currency.code",
              "receivable", "credit_amount", "credit_limit_amount",
              *(f"addresses.{f}" for f in (
                  "street", "city", "postal_code", "subdivision.name", "country.code", "sequence",
                  "active", "invoice", "_timestamp")))
    locks: ClassVar[Mapping[str, str]] = {**_Parties.locks, "addresses": "party.address"}
    sources = (*_Parties.sources, Source("party.address", "party"),
               Source("account.move.line", "party"), Source("sale.sale", "party"))
    schema = ObjectSchema(frozenset({
        "id", "code", "name", "active", "tax_identifier", "customer_payment_term", "currency",
        "receivable", "credit_amount", "credit_limit_amount", "credit_used_up", "address",
        "contact_mechanisms", *(f"address.{f}" for f in _ADDRESS),
        *(f"contact_mechanisms.{m}" for m in MECHANISMS)}))

    _own: list[int] | None = None

    def domain(self) -> list[Any]:
        if self._own is None:
            self._own = [row["party"] for model in ("company.company", "company.employee")
                         for row in self.rpc.read(model, [], ["party"])]
        domain: list[Any] = [["id", "not in", self._own]]
        type = self.contact_type()
        if type is not None:
            domain.append(["relations", "not where", [["type", "=", type]]])
        return domain

    def records(self, rows: Sequence[Row]) -> list[RemoteRecord]:
        references = self.references(rows)
        return [self.record(row, self._payload(row), references.get(row["id"])) for row in rows]

    def _payload(self, row: Row) -> Values:
        tax, term = _tax_identifier(row), row["customer_payment_term."]
        limit, used = row.get("credit_limit_amount"), row.get("credit_amount")
        return {
            "id": row["id"], "code": row["code"], "name": row["name"],
            "active": bool(row["active"]),
            "tax_identifier": tax and tax["code_compact"],
            "customer_payment_term": term and term["name"],
            "currency": (row["currency."] or {}).get("code"), "receivable": row["receivable"],
            "credit_amount": used, "credit_limit_amount": limit,
            "credit_used_up": limit is not None and used is not None and used >= limit,
            "address": _address(_main_address(row)), "contact_mechanisms": self._mechanisms(row)}

    def creations(self, intents: Sequence[Intent]) -> list[Values | Unfit]:
        known = self._known([i.payload for i in intents])

        def make(intent: Intent) -> Values:
            values = self._values(intent.payload, None, known)
            values.setdefault("addresses", [["create", [{}]]])  # documents need one
            values["identifiers"] = [*values.get("identifiers", ()),
                                     ["create", [{"code": intent.reference}]]]
            return values
        return each(make, intents)

    def changes(self, pairs: Sequence[tuple[Intent, Found]]) -> list[Values | Unfit]:
        known = self._known([intent.payload for intent, _ in pairs])
        return each(lambda pair: self._values(pair[0].payload, pair[1][0], known), pairs)

    def _known(self, payloads: Sequence[Payload]) -> dict[str, Any]:
        """What the payloads name, by name: countries, terms, types of tax identifiers."""
        codes = {(p.get("address") or {}).get("country") for p in payloads} - {None, ""}
        terms = {p.get("customer_payment_term") for p in payloads} - {None, ""}
        known: dict[str, Any] = {"countries": {}, "terms": {}, "types": ()}
        if codes:
            known["countries"] = by(self.rpc.read(
                "country.country", [["code", "in", sorted(codes)]], ["code"]), "code")
        if terms:
            known["terms"] = by(self.rpc.read(
                "account.invoice.payment_term", [["name", "in", sorted(terms)]], ["name"]), "name")
        if self.rpc.settings.check_tax_identifiers and any(
                p.get("tax_identifier") for p in payloads):
            known["types"] = {type for type, _ in self.rpc.ask(
                "model.party.identifier.get_types", dict(self.rpc.context))}
        return known

    def _values(self, payload: Payload, row: Row | None, known: Mapping[str, Any]) -> Values:
        """What to write so that a party (none yet, where `row` is None) is as the payload says."""
        values: Values = {name: payload[name] for name in ("name", "active") if name in payload}
        values |= self.extra(payload)
        if "credit_limit_amount" in payload:
            values["credit_limit_amount"] = payload["credit_limit_amount"]
        if "customer_payment_term" in payload:
            values["customer_payment_term"] = _named(
                known["terms"], payload["customer_payment_term"], "payment term")
        steps = {"contact_mechanisms": self._mechanism_changes(payload, row),
                 "addresses": _address_changes(payload.get("address"), row, known["countries"]),
                 "identifiers": _tax_changes(payload, row, known["types"])}
        return values | {name: some for name, some in steps.items() if some}


class Contacts(_Parties):
    """Persons: parties with a relation to a customer that makes them contacts."""

    object = "contacts"
    fields = (*_Parties.fields, "relations.type", "relations.to")
    sources = (*_Parties.sources, Source("party.relation.all", "from_"))
    schema = ObjectSchema(frozenset({
        "id", "code", "name", "first_name", "last_name", "active", "customer",
        "contact_mechanisms", *(f"contact_mechanisms.{m}" for m in MECHANISMS)}))

    def prepare(self) -> None:
        """Make the type of relation that contacts are known by, if it is not there."""
        if "relations" not in self.described(self.model):
            raise RequestRefused("Tryton keeps no relations between parties.",
                                 hint="Activate its module party_relationship, or leave contacts "
                                 "out.")
        if self.contact_type() is None:
            self.rpc.change("model.party.relation.type.create",
                            [{"name": self.rpc.settings.contact_relation}])

    def domain(self) -> list[Any]:
        type = self.contact_type()
        return [["id", "=", -1] if type is None
                else ["relations", "where", [["type", "=", type]]]]

    def records(self, rows: Sequence[Row]) -> list[RemoteRecord]:
        references, type = self.references(rows), self.contact_type()
        return [self.record(row, self._payload(row, type), references.get(row["id"]))
                for row in rows]

    def _payload(self, row: Row, type: int | None) -> Values:
        first, last = _parts(row["name"] or "")
        relation = _relation(row, type)
        return {"id": row["id"], "code": row["code"], "name": row["name"], "first_name": first,
                "last_name": last, "active": bool(row["active"]),
                "customer": relation and relation["to"],
                "contact_mechanisms": self._mechanisms(row)}

    def creations(self, intents: Sequence[Intent]) -> list[Values | Unfit]:
        type = self.contact_type()

        def make(intent: Intent) -> Values:
            values = self._values(intent.payload, None)
            customer = intent.payload.get("customer")
            if customer is None:
                raise Unfit("A contact needs a customer.")
            relation = {"type": type, "to": int(customer)}
            return {**values, "relations": [["create", [relation]]],
                    "identifiers": [["create", [{"code": intent.reference}]]]}
        return each(make, intents)

    def changes(self, pairs: Sequence[tuple[Intent, Found]]) -> list[Values | Unfit]:
        type = self.contact_type()

        def make(pair: tuple[Intent, Found]) -> Values:
            (intent, (row, record)) = pair
            values = self._values(intent.payload, row)
            customer, relation = intent.payload.get("customer"), _relation(row, type)
            if customer is not None and relation and int(customer) != record.payload["customer"]:
                values["relations"] = [["write", [relation["id"]], {"to": int(customer)}]]
            return values
        return each(make, pairs)

    def _values(self, payload: Payload, row: Row | None) -> Values:
        values: Values = {name: payload[name] for name in ("name", "active") if name in payload}
        values |= self.extra(payload)
        if {"first_name", "last_name"} & set(payload):
            first, last = _parts((row or {}).get("name") or "")
            values["name"] = _joined(payload.get("first_name", first),
                                     payload.get("last_name", last))
        steps = self._mechanism_changes(payload, row)
        return {**values, "contact_mechanisms": steps} if steps else values


def _relation(row: Row, type: int | None) -> Row | None:
    """The oldest relation that makes a person a contact."""
    found = sorted((r for r in row["relations."] if r["type"] == type), key=lambda r: r["id"])
    return found[0] if found else None


def _parts(name: str) -> tuple[str | None, str | None]:
    """First and last name: a party has one name only, whose last word is the last name. A last
    name of several words is kept together by no-break spaces."""
    first, _, last = name.strip().rpartition(" ")
    return first.strip() or None, last.replace(_KEPT_BLANK, " ") or None


def _joined(first: str | None, last: str | None) -> str:
    kept = _KEPT_BLANK.join((last or "").split())
    return f"{' '.join((first or '').split())} {kept}" if first else kept


def _main_address(row: Row | None) -> Row | None:
    """The address for invoices, else the first one."""
    rows = _ordered(row["addresses."]) if row else []
    return next((a for a in rows if a.get("invoice")), rows[0] if rows else None)


def _address(row: Row | None) -> Values:
    if row is None:
        return dict.fromkeys(_ADDRESS)
    street, _, more = (row["street"] or "").partition("\n")
    return {"street": street or None, "street2": more or None, "city": row["city"],
            "postal_code": row["postal_code"],
            "subdivision": (row["subdivision."] or {}).get("name"),
            "country": (row["country."] or {}).get("code")}


def _address_changes(wanted: Any, row: Row | None, countries: Mapping[str, Row]) -> list[Any]:
    if not wanted:
        return []
    there = _main_address(row)
    now = _address(there)
    values: Values = {name: wanted[name] for name in ("city", "postal_code") if name in wanted}
    if {"street", "street2"} & set(wanted):
        first = wanted.get("street", now["street"]) or ""
        more = wanted.get("street2", now["street2"]) or ""
        values["street"] = f"{first}\n{more}" if more else first or None
    if "country" in wanted:
        found = _named(countries, wanted["country"], "country")
        values["country"] = found
        if found is None or wanted["country"] != now["country"]:
            values["subdivision"] = None
    return [["create", [values]] if there is None else ["write", [there["id"]], values]]


def _tax_identifier(row: Row) -> Row | None:
    """The identifier that Tryton takes for taxes, else one without a type that is no reference."""
    rows = _ordered(row["identifiers."])
    return next((i for i in rows if i["id"] == row["tax_identifier"]), None) or next(
        (i for i in rows if i["type"] is None and ":" not in i["code"]), None)


def _tax_changes(payload: Payload, row: Row | None, types: Any) -> list[Any]:
    if "tax_identifier" not in payload:
        return []
    code, there = payload["tax_identifier"], _tax_identifier(row) if row else None
    if not code:
        return [["delete", [there["id"]]]] if there else []
    if there and code == there["code_compact"]:
        return []
    country = str(code)[:2].upper()
    named = [*(["eu_vat"] if country in _EU else []), f"{country.lower()}_vat"]
    values = {"code": code, "type": next((type for type in named if type in types), None)}
    return [["write", [there["id"]], values] if there else ["create", [values]]]


def _named(rows: Mapping[str, Row], name: str | None, what: str) -> int | None:
    if not name:
        return None
    if name not in rows:
        raise Unfit(f"Tryton has no {what} {name!r}; add it there.")
    return int(rows[name]["id"])
