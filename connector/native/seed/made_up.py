"""Companies, people and documents that nobody has: the same ones every time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

_LOCALES = {"DE": "de_DE", "FR": "fr_FR", "PT": "pt_PT", "ES": "es_ES", "PL": "pl_PL",
            "GR": "el_GR", "JP": "ja_JP", "CZ": "cs_CZ"}
_PARTS = ("Hex bolt", "Washer", "Hinge", "Bearing", "Gasket", "Valve", "Spring", "Bracket",
          "Coupling", "Pulley")
_SIZES = ("M6", "M8", "M10")
_SEGMENTS = ("smb", "mid_market", "enterprise", "public")
_GROUPS = {"smb": "S", "mid_market": "M", "enterprise": "L", "public": "G"}
COMPANIES, IN_BOTH, ONLY_CRM = 60, 40, 12


@dataclass(frozen=True, slots=True)
class Company:
    """A company as both sides would describe it."""

    number: int
    name: str
    vat: str
    country: str
    city: str
    street: str
    postal_code: str
    segment: str

    @property
    def in_crm(self) -> bool:
        """Whether the CRM knows it."""
        return self.number < IN_BOTH + ONLY_CRM

    @property
    def in_erp(self) -> bool:
        """Whether the ERP knows it."""
        return self.number < IN_BOTH or self.number >= IN_BOTH + ONLY_CRM


def _companies() -> list[Company]:
    from faker import Faker

    found = []
    fakers = {country: Faker(locale) for country, locale in _LOCALES.items()}
    for i, faker in enumerate(fakers.values()):
        faker.seed_instance(20_260 + i)
    countries = list(_LOCALES)
    for i in range(COMPANIES):
        country = countries[i % len(countries)]
        faker = fakers[country]
        found.append(Company(i, faker.company(), f"{country}{100_000_000 + i * 7919}", country,
                             faker.city(), faker.street_address().replace("\n", ", "),
                             faker.postcode(), _SEGMENTS[i % len(_SEGMENTS)]))
    return found


def _people() -> Iterator[dict[str, Any]]:
    from faker import Faker

    fakers = [Faker(locale) for locale in _LOCALES.values()]
    for i, faker in enumerate(fakers):
        faker.seed_instance(7_000 + i)
    for i in range(2 * COMPANIES):
        faker = fakers[(i // 2) % len(fakers)]
        yield {"firstName": faker.first_name(), "lastName": faker.last_name(),
               "email": f"person{i}@company{i // 2}.example", "jobTitle": "Purchasing",
               "isPrimary": i % 2 == 0}


def _products() -> list[tuple[str, str, int]]:
    """(SKU, name, list price in cents)."""
    rolled = Random(5)
    return [(f"{part[:3].upper()}-{size}", f"{part} {size}", rolled.randrange(150, 9_000))
            for part in _PARTS for size in _SIZES]


def demo(kind: str) -> dict[str, list[dict[str, Any]]]:
    """A few hundred records: most companies stand on both sides, some on one only."""
    return _demo_crm() if kind == "crm" else _demo_erp()


def _demo_crm() -> dict[str, list[dict[str, Any]]]:
    companies = [c for c in _companies() if c.in_crm]
    people = list(_people())
    accounts = [{"id": f"acc_{c.number:04d}", "name": c.name, "vatNumber": c.vat,
                 "phone": f"+49 30 {5_550_000 + c.number}", "segment": c.segment,
                 "street": c.street, "city": c.city, "postalCode": c.postal_code,
                 "country": c.country, "email": f"office@company{c.number}.example"}
                for c in companies]
    contacts = [{"accountId": f"acc_{c.number:04d}", **people[2 * c.number + i]}
                for c in companies for i in (0, 1)]
    products = [{"id": f"prd_{i:04d}", "sku": sku, "name": name}
                for i, (sku, name, _) in enumerate(_products()) if i % 3 < 2]
    return {"users": [{"id": "usr_1", "name": "Ada Sales", "email": "ada@example.org"}],
            "accounts": accounts, "contacts": contacts, "products": products,
            "opportunities": [{"accountId": "acc_0001", "name": "Yearly supply",
                               "id": "opp_0001", "amountMicros": 4_000_000_000,
                               "probability": 60, "ownerId": "usr_1"}],
            "quotes": [_demo_quote(n) for n in range(1, 9)]}


def _demo_quote(number: int) -> dict[str, Any]:
    products = [(i, cents) for i, (_, _, cents) in enumerate(_products()) if i % 3 < 2]
    lines = []
    for k in range(1 + number % 3):
        i, cents = products[(number * 5 + k * 7) % len(products)]
        lines.append({"productId": f"prd_{i:04d}", "quantity": 2 + number + k,
                      "unitPriceMicros": cents * 10_000, "taxPercent": 19,
                      "discountPercent": 5 if number % 2 else 0})
    return {"id": f"quo_{number:04d}", "accountId": f"acc_{number:04d}", "currency": "EUR",
            "status": "Draft" if number == 8 else "Sent", "warehouse": "NORTH", "lines": lines,
            **({"opportunityId": "opp_0001"} if number == 1 else {})}


def _demo_erp() -> dict[str, list[dict[str, Any]]]:
    companies = [c for c in _companies() if c.in_erp]
    customers = [{"id": c.number + 1, "display_name": c.name, "tax": {"vat_no": c.vat},
                  "finance": {"credit_limit": "300.00" if c.number == 5 else "25000.00"},
                  "terms": "14D" if c.number % 4 else "30D",
                  "address": {"line1": c.street, "town": c.city, "zip": c.postal_code,
                              "country_code": c.country},
                  "grp": _GROUPS[c.segment]} for c in companies]
    products = _products()
    items = [{"id": i + 1, "item_code": sku, "label": name, "tax_pct": "19",
              "base_price": f"{cents // 100}.{cents % 100:02d}"}
             for i, (sku, name, cents) in enumerate(products)]
    stock = [{"item_id": i + 1, "warehouse": code, "on_hand": str(20 + (i * 37) % 180)}
             for i in range(len(products)) for code in ("NORTH", "SOUTH")]
    orders = [{"id": n, "customer_id": 10 + n, "currency_code": "EUR", "warehouse": "SOUTH",
               "your_ref": f"PO-{2026_000 + n}", "lines": [
                   {"item_id": 1 + (n * 3 + k) % len(items), "qty": str(3 + k), "tax_pct": "19",
                    "price": items[(n * 3 + k) % len(items)]["base_price"]}
                   for k in range(1 + n % 2)]} for n in range(1, 11)]
    actions = [{"action": action, "id": n} for action, last in
               (("confirm", 8), ("ship", 6), ("invoice", 5)) for n in range(1, last + 1)]
    return {"warehouses": [{"code": "NORTH", "name": "North"}, {"code": "SOUTH", "name": "South"}],
            "customers": customers, "items": items, "stock_levels": stock,
            "sales_orders": orders, "actions": actions}


def volume(kind: str, number: int) -> dict[str, list[dict[str, Any]]]:
    """`number` plain customers."""
    if kind == "crm":
        return {"accounts": [{
            "name": f"Company {i}", "vatNumber": f"DE{900_000_000 + i}", "country": "DE",
            "phone": f"+49 40 {1_000_000 + i}", "email": f"office@company{i}.example",
            "street": f"Street {i % 500}", "city": f"City {i % 90}",
            "postalCode": f"{10_000 + i % 80_000}", "segment": _SEGMENTS[i % 4]}
            for i in range(number)]}
    return {"customers": [{
        "display_name": f"Company {i}", "tax": {"vat_no": f"DE{900_000_000 + i}"},
        "address": {"line1": f"Street {i % 500}", "town": f"City {i % 90}",
                    "zip": f"{10_000 + i % 80_000}", "country_code": "DE"}}
        for i in range(number)]}
