"""A company's customers, contacts and products for the story: real ones where the data sets lie
beside this clone, made-up ones elsewhere."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from faker import Faker

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "adventureworks"
COUNTRIES = {"US": "US", "CA": "CA", "FR": "FR", "DE": "DE", "AU": "AU", "GB": "GB"}


@dataclass(frozen=True, slots=True)
class Company:
    """One customer."""

    name: str
    street: str
    city: str
    postal_code: str
    country: str
    phone: str


@dataclass(frozen=True, slots=True)
class Person:
    """One contact."""

    company: str
    first_name: str
    last_name: str
    email: str


@dataclass(frozen=True, slots=True)
class Product:
    """One thing that is sold; `price` is text with two decimals."""

    sku: str
    name: str
    price: str


@dataclass(frozen=True, slots=True)
class Company200:
    """All of them."""

    companies: list[Company]
    people: list[Person]
    products: list[Product]


def company() -> Company200:
    """200 customers, a contact for each, and 50 products."""
    return _real() if DATA.is_dir() else _made_up()


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [{k: (v or "").strip() for k, v in row.items()} for row in csv.DictReader(file)]


def _real() -> Company200:
    accounts = {row["Name"]: row for row in _rows(DATA / "crm" / "accounts.csv")}
    chosen = list(accounts.values())[:200]
    phones = {row["BusinessEntityID"]: row for row in _rows(DATA / "crm" / "contacts.csv")}
    companies = [Company(a["Name"], a["AddressLine1"], a["City"], a["PostalCode"],
                         a["CountryRegionCode"],
                         f"+1 {phones[a['BusinessEntityID']]['PhoneNumber']}"
                         if a["BusinessEntityID"] in phones else "+1 206-555-0100")
                 for a in chosen]
    people = [Person(a["Name"], person["FirstName"] or person["EmailAddress"].split("@")[0],
                     person["LastName"] or "Buyer", person["EmailAddress"])
              for a in chosen if (person := phones.get(a["BusinessEntityID"]))
              and person["EmailAddress"].isascii()]  # BottleCRM takes no others
    items = _rows(DATA / "erp" / "items.csv")[:50]
    products = [Product(i["ProductNumber"], i["Name"], f"{float(i['ListPrice'] or 0) + 10:.2f}")
                for i in items]
    return Company200(companies, people, products)


def _made_up() -> Company200:
    made = Faker(["en_US"])
    made.seed_instance(7)
    companies, people = [], []
    for n in range(200):
        name = f"{made.company()} {n}"
        companies.append(Company(name, made.street_address(), made.city(), made.postcode(), "US",
                                 f"+1 206-555-{n:04}"))
        people.append(Person(name, made.first_name(), made.last_name(), f"buyer{n}@shop.example"))
    return Company200(companies, people, [
        Product(f"P-{n:03}", f"Part {n}", f"{n + 1}.50") for n in range(50)])
