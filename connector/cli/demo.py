"""`demo`: both native systems, a first sync, a day's work on both sides, and a second sync."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.common import print_table, say
from connector.errors import SystemUnreachable

if TYPE_CHECKING:
    import requests

    from connector.engine.run import Engine

TOKEN, KEY = "crm-demo-token", "erp-demo-key"
MICRO = 1_000_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    keep: Annotated[bool, typer.Option(
        "--keep", help="Leave both systems running at the end.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its files.")] = Path(".demo"),
) -> None:
    """Show the whole way: two systems, a first sync, edits on both sides, a second sync."""
    from connector.bootstrap import open_connector
    from connector.cli.runs import print_run

    os.environ.update(NATIVE_CRM_TOKEN=TOKEN, NATIVE_ERP_KEY=KEY)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        crm_url, crm = stack.enter_context(_native("crm", folder, keep))
        erp_url, erp = stack.enter_context(_native("erp", folder, keep))
        say(f"A CRM runs at {crm_url}, an ERP at {erp_url}, each with companies of its own; "
            "most stand in both.\n")
        crm_api, erp_api = Api(crm_url, "Authorization", f"Bearer {TOKEN}"), \
            Api(erp_url, "X-Api-Key", KEY)
        config = _write_config(folder, crm_url, erp_url)
        connector = stack.enter_context(_closing(open_connector(config)))
        engine = connector.engine("main")
        print_run(engine.sync(), "First sync: what was read on each side, and what came of it")
        say("\nNow a day's work, on both sides:")
        story = Story(crm_api, erp_api, engine)
        story.day()
        print_run(engine.sync(), "Second sync")
        story.order_goes_out()
        print_run(engine.sync(), "Third sync: the delivery, the invoice and the payment come back")
        story.told()
        last = engine.sync()
        say(f"\nA fourth sync wrote {sum(last.writes.values())} records: both sides agree.")
        _where_next(config, keep, {crm_url: crm, erp_url: erp})


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

    def __init__(self, crm: Api, erp: Api, engine: Engine) -> None:
        self.crm, self.erp, self.engine = crm, erp, engine
        self.accounts = {a["vatNumber"]: a
                         for a in crm("GET", "/api/accounts?limit=500")["data"]}
        self.customers = {c["tax"]["vat_no"]: c
                          for c in erp("GET", "/v1/customers?limit=1000")["rows"]}
        self.shared = sorted(set(self.accounts) & set(self.customers))

    def day(self) -> None:
        """Edits of different fields, of the same field, an owned field, and a quote accepted."""
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
        say(f"\nIn the ERP, order {order['order_no']} is shipped, invoiced "
            f"({invoice['invoice_no']}) and paid.\n")

    def _order(self) -> Any:
        return next(o for o in self.erp("GET", "/v1/sales_orders?limit=1000")["rows"]
                    if (o["external_ref"] or "").endswith(self.quote["id"]))

    def told(self) -> None:
        """What both sides hold now."""
        self._told_of_customers()
        self._told_of_orders()
        self._told_of_stock()

    def _told_of_customers(self) -> None:
        account = self.crm("GET", f"/api/accounts/{self.accounts[self.merged]['id']}")
        customer = self.erp("GET", f"/v1/customers/{self.customers[self.merged]['id']}")
        print_table("Different fields: both edits are kept", ("", "phone", "second address line"),
                    [("CRM", account["phone"], account["street2"]),
                     ("ERP", customer["tel"], customer["address"]["line2"])])
        with self.engine.store.begin() as uow:
            waiting = uow.conflicts("main")
        print_table("The same field: nothing is overwritten, a person decides",
                    ("no", "record", "field", "last agreed", "CRM", "ERP"),
                    [(str(c.id), c.title, c.path, c.base, c.crm, c.erp) for c in waiting])
        account = self.crm("GET", f"/api/accounts/{self.accounts[self.owned]['id']}")
        customer = self.erp("GET", f"/v1/customers/{self.customers[self.owned]['id']}")
        print_table("A field with an owner: the owner's value is put back",
                    ("", "credit limit"),
                    [("CRM", _euro(account["creditLimitMicros"])),
                     ("ERP", customer["finance"]["credit_limit"] + " EUR")])

    def _told_of_orders(self) -> None:
        orders = self.crm("GET", "/api/orders?limit=500")["data"]
        numbers = {q["id"]: q["number"] for q in self.crm("GET", "/api/quotes")["data"]}
        rows = [(o["erpOrderNumber"], numbers.get(o["quoteId"], ""), o["status"],
                 _euro(o["totalMicros"]), o["remark"]) for o in orders if o["quoteId"]]
        print_table("Orders made from quotes, as the CRM shows them",
                    ("ERP order", "from quote", "status", "total", "remark"), rows)
        invoices = self.crm("GET", "/api/invoices?limit=500")["data"]
        mine = {o["id"] for o in orders if o["quoteId"]}
        print_table("Their invoices, as the CRM shows them",
                    ("invoice", "issued", "due", "total", "still open", "status"),
                    [(i["number"], i["issuedOn"], i["dueOn"], _euro(i["totalMicros"]),
                      _euro(i["balanceMicros"]), i["status"])
                     for i in invoices if i["orderId"] in mine])

    def _told_of_stock(self) -> None:
        names = {p["id"]: p["sku"] for p in self.crm("GET", "/api/products?limit=500")["data"]}
        asked = {line["productId"] for line in self.quote["lines"]}
        levels = self.crm("GET", "/api/stockLevels?limit=500")["data"]
        print_table("Stock of what was ordered, as the CRM shows it",
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


@contextmanager
def _native(kind: str, folder: Path, keep: bool) -> Iterator[tuple[str, int]]:
    """A native system in a process of its own, with the demo's records; ended afterwards, but
    for `keep`."""
    from connector.native.serving import free_port

    port = free_port()
    with (folder / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "connector.cli", "native", kind, "--port", str(port),
             "--database", f"sqlite:///{folder.resolve()}/{kind}.db", "--seed", "demo"],
            stdout=log, stderr=log, start_new_session=keep)
    try:
        _await(f"http://127.0.0.1:{port}", process, folder / f"{kind}.log")
        yield f"http://127.0.0.1:{port}", process.pid
    except BaseException:
        keep = False
        raise
    finally:
        if not keep:
            process.terminate()
            process.wait(15)


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import requests

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            requests.get(f"{url}/openapi.json", timeout=5)
            return
        except requests.RequestException:
            time.sleep(0.05)
    raise SystemUnreachable(f"{url} did not start.", hint=f"See {log}.")


def _write_config(folder: Path, crm_url: str, erp_url: str) -> Path:
    from connector.bootstrap import shipped

    config = folder / "config.yaml"
    text = shipped("config.example.yaml").read_text(encoding="utf-8")
    text = text.replace("http://127.0.0.1:8801", crm_url)
    config.write_text(text.replace("http://127.0.0.1:8802", erp_url), encoding="utf-8")
    return config


@contextmanager
def _closing(connector: Any) -> Iterator[Any]:
    try:
        yield connector
    finally:
        connector.close()


def _where_next(config: Path, keep: bool, running: dict[str, int]) -> None:
    say("\nWhere to look next:")
    if keep:
        say("  Both systems go on running:")
        for url, pid in running.items():
            say(f"    {url}  (process {pid}; its API: {url}/docs)")
        say(f"  export NATIVE_CRM_TOKEN={TOKEN} NATIVE_ERP_KEY={KEY}")
    else:
        say("  Keep both systems running with: make demo KEEP=1")
    here = f"connector --config {config}"
    say(f"  {here} status\n  {here} conflicts list\n  {here} explain customer acc_0009\n"
        f"  The rules of this pair: {config}; what they mean: docs/concepts.md")

