"""The native systems as processes that can be killed, and the people who work in them."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import requests

from connector.domain.policies import CRM, ERP, Role
from connector.native.serving import free_port

TOKEN, KEY = "crm-demo-token", "erp-demo-key"
FIELDS = {CRM: (("name",), ("city",)), ERP: (("address", "line1"), ("address", "town"))}
"""What users edit of a customer in each system; a town is edited in both."""


class System:
    """A native system in a process of its own, over a database that outlives it."""

    def __init__(self, role: Role, folder: Path) -> None:
        self.role, self.folder, self.port = role, folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database = folder / f"{role}.db"
        self.process = self._start()
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update(
            {"Authorization": f"Bearer {TOKEN}"} if role == CRM else {"X-Api-Key": KEY})

    def _start(self) -> subprocess.Popen[bytes]:
        with (self.folder / f"{self.role}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "connector.cli", "native", self.role, "--port",
                 str(self.port), "--database", f"sqlite:///{self.database}"],
                stdout=log, stderr=log)

    def kill(self) -> None:
        """`kill -9`, and start it again; `wait` until it answers."""
        self.process.kill()
        self.process.wait()
        self.process = self._start()

    def wait(self) -> None:
        """Until it takes calls; raises `RuntimeError` where it has ended."""
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.role} did not start; see {self.folder}")
            try:
                self.session.get(f"{self.url}/openapi.json", timeout=30)
                return
            except requests.ConnectionError:
                time.sleep(0.02)

    def stop(self) -> None:
        """End it."""
        self.session.close()
        self.process.kill()
        self.process.wait()

    def call(self, method: str, path: str, body: Any = None,
             headers: dict[str, str] | None = None) -> requests.Response:
        """A call to its API, as its users make it."""
        base = f"{self.url}/api/" if self.role == CRM else f"{self.url}/v1/"
        return self.session.request(method, base + path, json=body, headers=headers, timeout=60)

    def every(self, object: str) -> list[dict[str, Any]]:
        """All records of an object."""
        if self.role == CRM:
            page = self.call("GET", f"{object}?limit=500").json()
            found: list[dict[str, Any]] = page["data"]
            while page["nextCursor"]:
                page = self.call("GET", f"{object}?limit=500&cursor={page['nextCursor']}").json()
                found += page["data"]
            return found
        page = self.call("GET", f"{object}?limit=1000&archived=include").json()
        found = page["rows"]
        while page["more"]:
            last = page["rows"][-1]
            page = self.call("GET", f"{object}?limit=1000&archived=include&after_id={last['id']}"
                                    f"&after_modified={last['modified']}").json()
            found += page["rows"]
        return found


@dataclass(slots=True)
class Clerks:
    """The users of both systems. `given` are the values they entered, each a token of its own, and
    `seen` those that somebody saw before he replaced them."""

    systems: dict[Role, System]
    chance: Random
    given: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    companies: dict[str, Role] = field(default_factory=dict)  # by VAT number, where it was entered
    accepted: list[str] = field(default_factory=list)  # quotes of the CRM
    product: str = ""
    edits: int = 0

    def open_shop(self) -> None:
        """Something to sell, in the ERP."""
        erp = self.systems[ERP]
        erp.call("POST", "warehouses", {"code": "MAIN", "name": "Main"})
        item = erp.call("POST", "items", {"item_code": "BOLT", "label": "Bolt",
                                          "base_price": "1.50", "tax_pct": "19"}).json()
        erp.call("POST", "stock_levels", {"item_id": item["id"], "warehouse": "MAIN",
                                          "on_hand": "1000000"})

    def work(self, times: int) -> None:
        """So many edits, anywhere."""
        for _ in range(times):
            role = self.chance.choice((CRM, ERP))
            what = self.chance.random()
            if what < 0.35:
                self._enter(role)
            elif what < 0.5:
                self._accept()
            else:
                self._edit(role)
            self.edits += 1

    def _enter(self, role: Role) -> None:
        number = f"DE{100_000_000 + len(self.companies)}"
        self.companies[number] = role
        body: dict[str, Any] = {"name": self._token(), "vatNumber": number} if role == CRM else \
            {"display_name": self._token(), "tax": {"vat_no": number}}
        self._done(self.systems[role].call(
            "POST", "accounts" if role == CRM else "customers", body))

    def _edit(self, role: Role) -> None:
        """Somebody opens a company, and saves another value unless it has changed meanwhile."""
        system, object = self.systems[role], "accounts" if role == CRM else "customers"
        rows = system.every(object)
        if not rows:
            return
        path = f"{object}/{self.chance.choice(rows)['id']}"
        row, where = system.call("GET", path).json(), self.chance.choice(FIELDS[role])
        token, before = self._token(), at(row, where)
        body: dict[str, Any] = {where[-1]: token}
        for name in reversed(where[:-1]):
            body = {name: body}
        saved = system.call("PATCH", path, body if role == CRM else {"rev": row["rev"], **body},
                            {"If-Match": row["etag"]} if role == CRM else None)
        if saved.status_code in (409, 412):
            self.given.discard(token)
            return
        self._done(saved)
        if before is not None:
            self.seen.add(before)

    def _accept(self) -> None:
        """A quote that its customer has accepted already."""
        crm = self.systems[CRM]
        accounts, products = crm.every("accounts"), crm.every("products")
        if not accounts or not products:
            return
        made = crm.call("POST", "quotes", {
            "accountId": self.chance.choice(accounts)["id"], "currency": "EUR",
            "status": "Accepted", "warehouse": "MAIN",
            "lines": [{"productId": products[0]["id"], "quantity": self.chance.randint(1, 9),
                       "unitPriceMicros": 1_500_000, "taxPercent": 19}]})
        self._done(made)
        self.accepted.append(made.json()["id"])

    def _token(self) -> str:
        token = f"t{len(self.given) + self.edits * 1000}"
        self.given.add(token)
        return token

    def _done(self, answer: requests.Response) -> None:
        if not answer.ok:
            raise RuntimeError(f"a user's edit was refused: {answer.status_code} {answer.text}")


def at(row: Any, where: tuple[str, ...]) -> Any:
    """What stands at a path; None where nothing does."""
    for name in where:
        row = row.get(name) if isinstance(row, dict) else None
    return row
