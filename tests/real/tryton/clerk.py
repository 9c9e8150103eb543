"""What a user of Tryton does, behind the adapter's back: plain JSON-RPC of its own."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import requests

from tests.real.tryton.server import TrytonServer


class Clerk:
    """A user who has logged in."""

    def __init__(self, server: TrytonServer, user: str = "") -> None:
        self._url = f"{server.url}/{server.database}/rpc/"
        self._http = requests.Session()
        self._user, self._password = user or server.user, server.password
        self._log_in()
        known = self.call("model.res.user.get_preferences", True, {})
        self.context = {name: known[name] for name in ("company", "companies")}

    def _log_in(self) -> None:
        self._http.headers.pop("Authorization", None)
        id, token, *_ = self.call("common.db.login", self._user, {"password": self._password})
        told = b64encode(f"{self._user}:{id}:{token}".encode()).decode()
        self._http.headers["Authorization"] = f"Session {told}"

    def call(self, method: str, *params: Any) -> Any:
        """Any call; its last parameter is a context. A session that has ended is begun anew."""
        body = {"id": 1, "method": method, "params": params}
        answer = self._http.post(self._url, timeout=120, json=body)
        if answer.status_code == 401 and method != "common.db.login":
            self._log_in()
            answer = self._http.post(self._url, timeout=120, json=body)
        answer.raise_for_status()
        body = answer.json()
        assert "error" not in body, body
        return body["result"]

    def do(self, model: str, method: str, *params: Any, **context: Any) -> Any:
        """A method of a model."""
        return self.call(f"model.{model}.{method}", *params,
                         {**self.context, "active_test": False, **context})

    def read(self, model: str, domain: list[Any], *fields: str) -> list[dict[str, Any]]:
        """Records of a domain."""
        rows: list[dict[str, Any]] = self.do(model, "search_read", domain, 0, None, None,
                                             list(fields))
        return rows

    def delete_all(self, model: str, domain: list[Any]) -> None:
        """Delete every record of a domain."""
        self.do(model, "delete", self.do(model, "search", domain, 0, None, None))

    def pay(self, invoice: int, amount: str = "") -> None:
        """Pay an invoice in cash, the whole of it where no amount is given."""
        session, _, _ = self.call("wizard.account.invoice.pay.create", self.context)
        context = {**self.context, "active_model": "account.invoice", "active_id": invoice,
                   "active_ids": [invoice], "action_id": None}

        def step(state: str, filled: dict[str, Any]) -> dict[str, Any]:
            told: dict[str, Any] = self.call("wizard.account.invoice.pay.execute", session,
                                             filled, state, context)
            return told.get("view", {}).get("defaults", {})

        start = step("start", {})
        (method,) = self.do("account.invoice.payment.method", "search", [], 0, None, None)
        start["payment_method"] = method
        if amount:
            start["amount"] = {"__class__": "Decimal", "decimal": amount}
        start = {name: value for name, value in start.items() if not name.endswith(".")}
        ask = step("choice", {"start": start})
        if ask:
            step("pay", {"start": start, "ask": {
                name: value for name, value in ask.items() if not name.endswith(".")}})
        self.call("wizard.account.invoice.pay.delete", session, self.context)
