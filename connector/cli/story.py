"""What the demo tells: a day's work on both sides, and what each side shows of it in the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from connector.cli.common import print_json, print_table, say

if TYPE_CHECKING:
    import requests

    from connector.domain.ledger import Run
    from connector.engine.run import Engine

MICRO = 1_000_000


class Teller:
    """Tells as things happen, or all of it as JSON in the end."""

    def __init__(self, json: bool) -> None:
        self._json = json
        self._runs: list[Run] = []
        self._tables: dict[str, list[dict[str, Any]]] = {}

    def say(self, text: str) -> None:
        """A sentence, for people only."""
        if not self._json:
            say(text)

    def run(self, run: Run, title: str = "") -> None:
        """What a run read and wrote; a person sees it where it has a title."""
        from connector.cli.runs import print_run

        self._runs.append(run)
        if title and not self._json:
            print_run(run, title)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """What is there now."""
        rows = list(rows)
        self._tables[title] = [dict(zip(columns, row, strict=True)) for row in rows]
        if not self._json:
            print_table(title, columns, rows)

    def end(self, **more: Any) -> None:
        """The JSON, where that was asked for, with what else there is to say."""
        if self._json:
            print_json({**more, "runs": self._runs, "tables": self._tables})


class Api:
    """A system's API as its own users' programs would call it."""

    def __init__(self, url: str, header: str, secret: str) -> None:
        import requests

        self.url, self.session = url, requests.Session()
        self.session.headers[header] = secret

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        response: requests.Response = self.session.request(method, self.url + path, json=body,
                                                           timeout=30)
        response.raise_for_status()
        return response.json()


class Story:
    """What people do during the day, and what each side shows of it in the end."""

    def __init__(self, crm: Api, erp: Api, engine: Engine, teller: Teller) -> None:
        self.crm, self.erp, self.engine, self.teller = crm, erp, engine, teller
        self.accounts = {a["vatNumber"]: a
                         for a in crm("GET", "/api/accounts?limit=500")["data"]}
        self.customers = {c["tax"]["vat_no"]: c
                          for c in erp("GET", "/v1/customers?limit=1000")["rows"]}
        self.shared = sorted(set(self.accounts) & set(self.customers))

    def day(self) -> None:
        """Edits of different fields, of the same field, an owned field, and a quote accepted."""
        say = self.teller.say
        agreed, disputed, owned = (self.shared[i] for i in (7, 8, 9))
        self.merged, self.owned = agreed, owned
        self._account(agreed, phone="+49307654321")
        self._customer(agreed, address={"line2": "Gate 4"})
        say(f"  {self._name(agreed)}: sales changes the phone, accounting the second address line")
        self._account(disputed, email="sales-desk@example.org")
        self._customer(disputed, mail="accounts-payable@example.org")
        say(f"  {self._name(disputed)}: both sides change the e-mail address, differently")
        self._account(owned, creditLimitMicros=900_000 * MICRO)
        say(f"  {self._name(owned)}: sales raises the credit limit, which belongs to the ERP")
        self.quote = self.crm("GET", "/api/quotes/quo_0003")
        self.crm("PATCH", "/api/quotes/quo_0003", {"status": "Accepted"})
        say(f"  Quote {self.quote['number']} over {_euro(self.quote['totalMicros'])} is accepted")
        self.crm("PATCH", "/api/quotes/quo_0005", {"status": "Accepted"})
        say("  So is one of a customer whose credit limit is too low\n")

    def order_goes_out(self) -> None:
        """The order made from the quote is shipped, invoiced and paid in the ERP."""
        order = self._order()
        for action, more in (("ship", {"carrier": "Express"}), ("invoice", {})):
            (done,) = self.erp("POST", f"/v1/sales_orders/actions/{action}",
                               {"rows": [{"id": order["id"], **more}]})["rows"]
            assert done["ok"], done
        invoice = next(i for i in self.erp("GET", "/v1/invoices?limit=1000")["rows"]
                       if i["sales_order_id"] == order["id"])
        self.erp("POST", "/v1/payments", {"invoice_id": invoice["id"], "reference": "BANK-1",
                                          "amount": invoice["gross"]})
        self.teller.say(f"\nIn the ERP, order {order['order_no']} is shipped, invoiced "
                        f"({invoice['invoice_no']}) and paid.\n")

    def _order(self) -> Any:
        return next(o for o in self.erp("GET", "/v1/sales_orders?limit=1000")["rows"]
                    if (o["external_ref"] or "").endswith(self.quote["id"]))

    def told(self) -> None:
        """What both sides hold now."""
        self._told_of_customers()
        self._told_of_orders()
        self._told_of_stock()
        self._told_of_trouble()

    def _told_of_trouble(self) -> None:
        rows = [(record.get("name") or record["number"], record["syncState"], record["syncError"])
                for name in ("accounts", "quotes", "orders")
                for record in self.crm("GET", f"/api/{name}?limit=500")["data"]
                if record["syncState"] not in (None, "in_sync")]
        self.teller.table("What is amiss, as a salesperson sees it in the CRM",
                          ("record", "how it stands", "why"), rows)

    def _told_of_customers(self) -> None:
        account = self.crm("GET", f"/api/accounts/{self.accounts[self.merged]['id']}")
        customer = self.erp("GET", f"/v1/customers/{self.customers[self.merged]['id']}")
        self.teller.table("Different fields: both edits are kept",
                          ("side", "phone", "second address line"),
                          [("CRM", account["phone"], account["street2"]),
                           ("ERP", customer["tel"], customer["address"]["line2"])])
        with self.engine.store.begin() as uow:
            waiting = uow.conflicts("main")
        self.teller.table("The same field: nothing is overwritten, a person decides",
                          ("no", "record", "field", "last agreed", "CRM", "ERP"),
                          [(str(c.id), c.title, c.path, c.base, c.crm, c.erp) for c in waiting])
        account = self.crm("GET", f"/api/accounts/{self.accounts[self.owned]['id']}")
        customer = self.erp("GET", f"/v1/customers/{self.customers[self.owned]['id']}")
        self.teller.table("A field with an owner: the owner's value is put back",
                          ("side", "credit limit"),
                          [("CRM", _euro(account["creditLimitMicros"])),
                           ("ERP", customer["finance"]["credit_limit"] + " EUR")])

    def _told_of_orders(self) -> None:
        orders = self.crm("GET", "/api/orders?limit=500")["data"]
        numbers = {q["id"]: q["number"] for q in self.crm("GET", "/api/quotes")["data"]}
        rows = [(o["erpOrderNumber"], numbers.get(o["quoteId"], ""), o["status"],
                 _euro(o["totalMicros"]), o["remark"]) for o in orders if o["quoteId"]]
        self.teller.table("Orders made from quotes, as the CRM shows them",
                          ("ERP order", "from quote", "status", "total", "remark"), rows)
        invoices = self.crm("GET", "/api/invoices?limit=500")["data"]
        mine = {o["id"] for o in orders if o["quoteId"]}
        self.teller.table("Their invoices, as the CRM shows them",
                          ("invoice", "issued", "due", "total", "still open", "status"),
                          [(i["number"], i["issuedOn"], i["dueOn"], _euro(i["totalMicros"]),
                            _euro(i["balanceMicros"]), i["status"])
                           for i in invoices if i["orderId"] in mine])

    def _told_of_stock(self) -> None:
        names = {p["id"]: p["sku"] for p in self.crm("GET", "/api/products?limit=500")["data"]}
        asked = {line["productId"] for line in self.quote["lines"]}
        levels = self.crm("GET", "/api/stockLevels?limit=500")["data"]
        self.teller.table("Stock of what was ordered, as the CRM shows it",
                          ("product", "warehouse", "on hand", "reserved", "available", "in quotes"),
                          [(names[s["productId"]], s["warehouse"],
                            *(str(s[n]) for n in ("onHand", "reserved", "available", "quoted")))
                           for s in levels if s["productId"] in asked])

    def _account(self, vat: str, **changes: Any) -> None:
        self.crm("PATCH", f"/api/accounts/{self.accounts[vat]['id']}", changes)

    def _customer(self, vat: str, **changes: Any) -> None:
        path = f"/v1/customers/{self.customers[vat]['id']}"
        self.erp("PATCH", path, {"rev": self.erp("GET", path)["rev"], **changes})

    def _name(self, vat: str) -> str:
        return str(self.accounts[vat]["name"])


def _euro(micros: int | None) -> str:
    return "" if micros is None else f"{micros / MICRO:,.2f} EUR"
