"""What people do in the two systems of the story, and what they see there: each through the
system's own API, none of it through an adapter."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Protocol

import requests

from tests.real.bottlecrm.server import BottleServer
from tests.real.company import Company, Person, Product
from tests.real.tryton.clerk import Clerk
from tests.real.tryton.server import TrytonServer

Lines = list[tuple[str, int]]
"""SKU and quantity of each line; at the list price."""


class CrmUser(Protocol):
    """A salesperson."""

    def add_company(self, company: Company, website: str, phone: str) -> None: ...
    def add_person(self, person: Person) -> None: ...
    def add_product(self, product: Product) -> None: ...
    def names(self) -> list[str]: ...
    def emails(self) -> list[str]: ...
    def skus(self) -> list[str]: ...
    def company(self, name: str) -> dict[str, Any]: ...
    def change_company(self, name: str, **changes: str) -> None: ...
    def hope(self, company: str, lines: Lines) -> str: ...
    def deal(self, id: str) -> str: ...
    def offer(self, company: str, lines: Lines, deal: str) -> str: ...
    def quote(self, id: str) -> dict[str, Any]: ...
    def accept(self, id: str) -> None: ...
    def orders(self) -> list[str]: ...
    def order(self, id: str) -> dict[str, Any]: ...
    def invoices(self) -> list[dict[str, Any]]: ...
    def stock(self, sku: str) -> dict[str, Any]: ...


class BottleUser:
    """A salesperson with BottleCRM."""

    def __init__(self, server: BottleServer) -> None:
        self._url = f"{server.url}/api"
        self._ids: dict[str, str] = {}  # of the accounts, by name
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {server.token}"

    def _call(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        answer = self._session.request(method, f"{self._url}/{path}/", json=body, params=query,
                                       timeout=60)
        assert answer.ok, answer.text
        return answer.json()

    def _accounts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._call("GET", "accounts", limit="1000")[
            "active_accounts"]["open_accounts"]
        return found

    def _id(self, name: str) -> str:
        if name not in self._ids:  # to list them all takes BottleCRM more than a second
            self._ids = {a["name"]: str(a["id"]) for a in self._accounts()}
        return self._ids[name]

    def add_company(self, company: Company, website: str, phone: str) -> None:
        self._call("POST", "accounts", {
            "name": company.name, "website": website, "phone": phone, "currency": "EUR",
            "address_line": company.street, "city": company.city,
            "postcode": company.postal_code, "country": company.country})

    def add_person(self, person: Person) -> None:
        self._call("POST", "contacts", {
            "first_name": person.first_name, "last_name": person.last_name,
            "email": person.email, "account": self._id(person.company)})

    def add_product(self, product: Product) -> None:
        self._call("POST", "invoices/products", {"name": product.name, "sku": product.sku,
                                                 "price": product.price, "currency": "EUR"})

    def names(self) -> list[str]:
        return sorted(a["name"] for a in self._accounts())

    def emails(self) -> list[str]:
        return sorted(c["email"] for c in self._call("GET", "contacts", limit="1000")["results"])

    def _products(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._call("GET", "invoices/products",
                                                 limit="1000")["results"]
        return found

    def skus(self) -> list[str]:
        return sorted(p["sku"] for p in self._products())

    def company(self, name: str) -> dict[str, Any]:
        account = self._call("GET", f"accounts/{self._id(name)}")["account_obj"]
        figures = account["custom_fields"]
        return {"phone": account["phone"], "website": account["website"],
                "city": account["city"], "street": account["address_line"],
                "number": figures.get("customer_number"),
                "balance": Decimal(str(figures.get("balance") or 0))}

    def change_company(self, name: str, **changes: str) -> None:
        words = {"street": "address_line"}
        self._call("PATCH", f"accounts/{self._id(name)}",
                   {words.get(field, field): value for field, value in changes.items()})

    def hope(self, company: str, lines: Lines) -> str:
        """A deal; its ID."""
        products = {p["sku"]: p for p in self._products()}
        deal = str(self._call("POST", "opportunities", {
            "name": f"Deal with {company}", "account": self._id(company), "stage": "PROPOSAL",
            "currency": "EUR", "closed_on": "2030-12-31"})["id"])
        for number, (sku, quantity) in enumerate(lines):
            self._call("POST", f"opportunities/{deal}/line-items", {
                "product_id": products[sku]["id"], "name": products[sku]["name"],
                "quantity": str(quantity), "unit_price": products[sku]["price"], "order": number})
        return deal

    def deal(self, id: str) -> str:
        """A deal's stage."""
        return str(self._call("GET", f"opportunities/{id}")["opportunity_obj"]["stage"])

    def _contact(self, company: str) -> dict[str, Any]:
        account = self._id(company)
        (contact, *_) = [c for c in self._call("GET", "contacts", limit="1000")["results"]
                         if str(c.get("account")) == account]
        return contact

    def offer(self, company: str, lines: Lines, deal: str) -> str:
        """An estimate that was sent; its ID."""
        products = {p["sku"]: p for p in self._products()}
        estimate = self._call("POST", "invoices/estimates", {
            "title": f"For {company}", "account_id": self._id(company),
            "contact_id": self._contact(company)["id"], "opportunity_id": deal,
            "currency": "EUR", "tax_rate": "19", "line_items": [
                {"product": products[sku]["id"], "name": products[sku]["name"],
                 "quantity": str(quantity), "unit_price": products[sku]["price"], "order": number}
                for number, (sku, quantity) in enumerate(lines)]})["estimate"]
        self._call("POST", f"invoices/estimates/{estimate['id']}/send")
        return str(estimate["id"])

    def _estimate(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self._call("GET", f"invoices/estimates/{id}")["estimate"]
        return found

    def quote(self, id: str) -> dict[str, Any]:
        estimate = self._estimate(id)
        said = estimate["custom_fields"] or {}
        return {"number": said.get("quotation_number"),
                "status": "Ordered" if said.get("connector_order") else estimate["status"]}

    def accept(self, id: str) -> None:
        estimate = self._estimate(id)
        contact = self._contact(estimate["account"]["name"])
        self._call("POST", f"public/estimate/{estimate['public_token']}/accept",
                   {"name": contact["first_name"], "email": contact["email"]})

    def orders(self) -> list[str]:
        """The estimates that bear an order."""
        rows = self._call("GET", "invoices/estimates", limit="100")["results"]
        return [row["id"] for row in rows
                if (self._estimate(row["id"])["custom_fields"] or {}).get("connector_order")]

    def order(self, id: str) -> dict[str, Any]:
        estimate = self._estimate(id)
        said = estimate["custom_fields"] or {}
        return {"number": said.get("order_number"), "status": said.get("progress", "Accepted"),
                "total": Decimal(estimate["total_amount"])}

    def invoices(self) -> list[dict[str, Any]]:
        rows = self._call("GET", "invoices", limit="100")["results"]
        found = [self._call("GET", f"invoices/{row['id']}")["invoice"] for row in rows]
        return [{"number": i["invoice_title"], "total": Decimal(i["total_amount"]),
                 "open": Decimal(i["amount_due"])} for i in found]

    def stock(self, sku: str) -> dict[str, Any]:
        (product,) = [p for p in self._products() if p["sku"] == sku]
        notes = dict(note.split(": ") for note in
                     product["description"].rpartition("[ERP] ")[2].split(" | "))
        return {name: Decimal(notes[name]) for name in ("on_hand", "available")}


class ErpUser:
    """A clerk with Tryton."""

    def __init__(self, server: TrytonServer) -> None:
        self.clerk = Clerk(server)

    def names(self) -> list[str]:
        """Customers: parties that are nobody's contact."""
        contacts = {row["from_"] for row in self.clerk.read(
            "party.relation.all", [["type.name", "=", "Contact of"]], "from_")}
        own = {row["party"] for model in ("company.company", "company.employee")
               for row in self.clerk.read(model, [], "party")}
        return sorted(row["name"] for row in self.clerk.read("party.party", [], "name")
                      if row["id"] not in contacts | own)

    def emails(self) -> list[str]:
        return sorted(row["value"] for row in self.clerk.read(
            "party.contact_mechanism", [["type", "=", "email"]], "value"))

    def skus(self) -> list[str]:
        return sorted(row["code"] for row in self.clerk.read("product.product", [], "code"))

    def company(self, name: str) -> dict[str, Any]:
        (party,) = self.clerk.read("party.party", [["name", "=", name]], "code", "receivable",
                                   "addresses.street", "addresses.city", "phone", "website")
        (address,) = party["addresses."]
        return {"number": party["code"], "street": address["street"], "city": address["city"],
                "phone": party["phone"], "website": party["website"]}

    def change_company(self, name: str, **changes: str) -> None:
        ((address,),) = [row["addresses"] for row in self.clerk.read(
            "party.party", [["name", "=", name]], "addresses")]
        self.clerk.do("party.address", "write", [address], changes)

    def put_in_stock(self, sku: str, quantity: float) -> None:
        (product,) = self.clerk.read("product.product", [["code", "=", sku]], "code")
        (storage,) = self.clerk.read("stock.location", [["code", "=", "STO"]], "code")
        (inventory,) = self.clerk.do("stock.inventory", "create", [{
            "location": storage["id"], "lines": [["create", [
                {"product": product["id"], "quantity": quantity}]]]}])
        self.clerk.do("stock.inventory", "confirm", [inventory])

    def sales(self) -> list[dict[str, Any]]:
        return self.clerk.read("sale.sale", [], "number", "state", "total_amount", "shipments",
                               "invoices")

    def opportunities(self) -> list[dict[str, Any]]:
        """State, amount, and SKU and quantity of each line."""
        return [{"state": row["state"], "amount": Decimal(row["amount"]["decimal"]),
                 "lines": [(line["product."]["code"], int(line["quantity"]))
                           for line in row["lines."]]}
                for row in self.clerk.read("sale.opportunity", [], "state", "amount",
                                           "lines.product.code", "lines.quantity")]

    def ship(self, sale: dict[str, Any]) -> None:
        for step in ("assign_try", "pick", "pack", "do"):
            self.clerk.do("stock.shipment.out", step, sale["shipments"])

    def bill(self, sale: dict[str, Any]) -> None:
        self.clerk.do("account.invoice", "post", sale["invoices"])

    def pay(self, sale: dict[str, Any]) -> None:
        for invoice in sale["invoices"]:
            self.clerk.pay(invoice)


class NativeUser:
    """A salesperson with the native CRM."""

    def __init__(self, url: str, token: str) -> None:
        self._url = f"{url}/api"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._session.request(method, f"{self._url}/{path}", json=body, timeout=60)
        assert answer.ok, answer.text
        return answer.json()

    def _every(self, object: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._call("GET", f"{object}?limit=500")["data"]
        return found

    def _one(self, object: str, field: str, value: str) -> dict[str, Any]:
        (found,) = [row for row in self._every(object) if row[field] == value]
        return found

    def add_company(self, company: Company, website: str, phone: str) -> None:
        self._call("POST", "accounts", {
            "name": company.name, "website": website, "phone": phone, "currency": "EUR",
            "street": company.street, "city": company.city, "postalCode": company.postal_code,
            "country": company.country})

    def add_person(self, person: Person) -> None:
        self._call("POST", "contacts", {
            "accountId": self._one("accounts", "name", person.company)["id"],
            "firstName": person.first_name, "lastName": person.last_name, "email": person.email})

    def add_product(self, product: Product) -> None:
        self._call("POST", "products", {
            "sku": product.sku, "name": product.name, "currency": "EUR", "taxPercent": 19,
            "listPriceMicros": int(Decimal(product.price) * 1_000_000)})

    def names(self) -> list[str]:
        return sorted(row["name"] for row in self._every("accounts"))

    def emails(self) -> list[str]:
        return sorted(row["email"] for row in self._every("contacts"))

    def skus(self) -> list[str]:
        return sorted(row["sku"] for row in self._every("products"))

    def company(self, name: str) -> dict[str, Any]:
        account = self._one("accounts", "name", name)
        return {"number": account["erpNumber"], "phone": account["phone"],
                "website": account["website"], "city": account["city"],
                "street": account["street"],
                "balance": Decimal(account["balanceMicros"] or 0) / 1_000_000}

    def change_company(self, name: str, **changes: str) -> None:
        self._call("PATCH", f"accounts/{self._one('accounts', 'name', name)['id']}", changes)

    def hope(self, company: str, lines: Lines) -> str:
        """None: a deal of the native CRM has no lines."""
        return ""

    def deal(self, id: str) -> str:
        """A deal's stage."""
        return str(self._call("GET", f"opportunities/{id}")["stage"])

    def offer(self, company: str, lines: Lines, deal: str) -> str:
        """A quote that was sent; its ID."""
        products = {row["sku"]: row for row in self._every("products")}
        quote = self._call("POST", "quotes", {
            "accountId": self._one("accounts", "name", company)["id"], "currency": "EUR",
            "status": "Sent", "lines": [
                {"lineNo": n, "productId": products[sku]["id"], "quantity": quantity,
                 "unitPriceMicros": products[sku]["listPriceMicros"], "taxPercent": 19}
                for n, (sku, quantity) in enumerate(lines, start=1)]})
        return str(quote["id"])

    def quote(self, id: str) -> dict[str, Any]:
        quote = self._call("GET", f"quotes/{id}")
        return {"number": quote["erpQuoteNumber"], "status": quote["status"]}

    def accept(self, id: str) -> None:
        self._call("PATCH", f"quotes/{id}", {"status": "Accepted"})

    def orders(self) -> list[str]:
        """Every order."""
        return [row["id"] for row in self._every("orders")]

    def order(self, id: str) -> dict[str, Any]:
        order = self._call("GET", f"orders/{id}")
        return {"number": order["erpOrderNumber"], "status": order["status"],
                "total": Decimal(order["totalMicros"]) / 1_000_000}

    def invoices(self) -> list[dict[str, Any]]:
        return [{"number": row["number"], "total": Decimal(row["totalMicros"]) / 1_000_000,
                 "open": Decimal(row["balanceMicros"]) / 1_000_000}
                for row in self._every("invoices")]

    def stock(self, sku: str) -> dict[str, Any]:
        product = self._one("products", "sku", sku)["id"]
        levels = [row for row in self._every("stockLevels") if row["productId"] == product]
        return {"on_hand": sum(Decimal(str(row["onHand"])) for row in levels),
                "available": sum(Decimal(str(row["available"])) for row in levels)}
