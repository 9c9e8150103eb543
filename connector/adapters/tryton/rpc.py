"""Calls to Tryton: JSON-RPC in a session, its own types of values, and what its errors mean."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from typing import Any

import orjson
import requests
from pydantic import Field, SecretStr

from connector.adapters.auth import Credentials
from connector.adapters.http import Connection, HttpSettings
from connector.errors import (
    AccessDenied,
    ConfigInvalid,
    OutcomeUnknown,
    ReauthRequired,
    RequestRefused,
    SystemUnreachable,
)
from connector.ports import Clock

Row = Mapping[str, Any]
Context = Mapping[str, Any]
LOOK_BACK_SECONDS = 300
_MOST_WARNINGS = 20
_FOR_NOW = ("database is locked", "could not serialize", "deadlock detected")


class TrytonSettings(HttpSettings):
    """The settings of a Tryton."""

    database: str = Field(pattern=r"^[\w.-]+$", description="the database's name")
    user: str = Field(description="the login of a user for the connector alone")
    password: SecretStr
    company: str | None = Field(
        None, description="the company's name or ID; the user's own, if not given")
    timeout_seconds: float = Field(
        LOOK_BACK_SECONDS, gt=0, le=600, description="the longest wait for an answer: as long as "
        "the longest transaction, for a create that is made later than that is made twice")
    look_back_seconds: int = Field(
        LOOK_BACK_SECONDS, ge=0, description="how long the longest transaction in Tryton takes; "
        "a pull reads again what changed so long before its cursor")
    contact_relation: str = Field(
        "Contact of", description="the type of relation from a person to a customer that makes "
        "it a contact")
    account_category: str | None = Field(
        None, description="the accounting category of new products whose tax is not given; the "
        "oldest one, if not named")
    check_tax_identifiers: bool = Field(
        True, description="whether Tryton checks new tax numbers; if not, they are kept without "
        "a type")
    skip_warnings: tuple[str, ...] = Field(
        (), description="names of warnings to be answered with yes, such as credit_limit_amount; "
        "`*` stands for any characters")
    fields: Mapping[str, tuple[str, ...]] = Field(
        {}, description="more of Tryton's fields by object, such as `customers: [lang]`")


class Refused(Exception):
    """Tryton made nothing of a call; `kind` is its own word for why, `warning` the name of the
    warning that it was stopped by."""

    def __init__(self, kind: str, message: str, warning: str = "") -> None:
        super().__init__(message)
        self.kind, self.warning = kind, warning

    @property
    def stale(self) -> bool:
        """Whether a record had changed since it was read."""
        return self.kind == "ConcurrencyException"


class _Session(Credentials):
    """The session that a login gave; none before."""

    def __init__(self, password: SecretStr) -> None:
        secret = password.get_secret_value()
        if not secret:
            raise ConfigInvalid("The password for Tryton is empty.",
                                hint="See that it stands there whole.")
        self._secrets = (secret,)
        self.token: str | None = None

    def begin(self, user: str, number: int, token: str) -> None:
        """Use a new session from now on."""
        packed = b64encode(f"{user}:{number}:{token}".encode()).decode()
        self._secrets = (self._secrets[0], token, packed)
        self.token = packed

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.token is not None:
            request.headers["Authorization"] = f"Session {self.token}"
        return request


class Rpc:
    """Tryton's calls; logs in by itself, and again when the session has ended."""

    def __init__(self, settings: TrytonSettings, clock: Clock) -> None:
        self.settings = settings
        self._session = _Session(settings.password)
        self._http = Connection(settings, self._session, clock)
        self._lock = threading.Lock()
        self._context: Context | None = None
        self._currency: Row | None = None
        self.time: datetime | None = None
        """Tryton's own time when it answered last, as its web server gives it."""

    @property
    def context(self) -> Context:
        """The user's context, with the company to work in."""
        if self._context is None:
            told = self.ask("model.res.user.get_preferences", True, {})
            kept = {name: told[name] for name in ("company", "companies", "employee",
                                                    "language") if name in told}
            wanted = self.settings.company
            if wanted is not None:
                kept["company"] = self._company(wanted, kept)
            if not kept.get("company"):
                raise ConfigInvalid(f"{self.settings.name}: {self.settings.user} has no company.",
                                    hint="Give the user a company in Tryton, or name one here.")
            self._context = {**kept, "company_filter": "one"}
        return self._context

    @property
    def currency(self) -> Row:
        """The company's currency: its `id` and `code`."""
        if self._currency is None:
            (company,) = self.read("company.company", [["id", "=", self.context["company"]]],
                                   ["currency.code"])
            self._currency = company["currency."]
        return self._currency

    def _company(self, wanted: str, context: Context) -> int:
        own = list(context.get("companies") or ())
        found = self.ask("model.company.company.search_read", [["id", "in", own]], 0, None, None,
                         ["rec_name"], dict(context))
        for company in found:
            if wanted in (company["rec_name"], str(company["id"])):
                return int(company["id"])
        raise ConfigInvalid(f"{self.settings.name}: {self.settings.user} has no company {wanted}.",
                            hint=f"It has: {', '.join(c['rec_name'] for c in found)}.")

    def read(self, model: str, domain: Sequence[Any], fields: Iterable[str], *,
             limit: int | None = None, order: Sequence[Any] | None = None,
             context: Context | None = None) -> list[Row]:
        """The records of a domain, archived ones too. Raises the errors of `ask`."""
        found: list[Row] = self.ask(
            f"model.{model}.search_read", list(domain), 0, limit, order, sorted(fields),
            {**self.context, "active_test": False, **(context or {})})
        return found

    def ids(self, model: str, domain: Sequence[Any]) -> list[int]:
        """The IDs of a domain's records, archived ones too."""
        found: list[int] = self.ask(f"model.{model}.search", list(domain), 0, None, [["id", "ASC"]],
                                    {**self.context, "active_test": False})
        return found

    def ask(self, method: str, *params: Any) -> Any:
        """A call that changes nothing. Raises `RetryLater`, `AccessDenied`, `RequestRefused`."""
        try:
            return self._call(method, params, repeatable=True)
        except OutcomeUnknown as error:
            raise SystemUnreachable(f"{self.settings.name}: {method}: no answer that can be used.",
                                    after=error.after, hint="Sync again later.") from error
        except Refused as error:
            raise RequestRefused(f"{self.settings.name}: {method}: {error}",
                                 hint="Check the rights of the user, and the modules.") from error

    def change(self, method: str, *params: Any, context: Context | None = None) -> Any:
        """A call that changes something; warnings that may be skipped are answered with yes.

        Raises `Refused` where Tryton made nothing of it, or the errors of `connector.errors`.
        """
        context = {**self.context, "active_test": False, **(context or {})}
        for _ in range(_MOST_WARNINGS):
            try:
                return self._call(method, (*params, context), repeatable=False)
            except Refused as error:
                if not error.warning or not self._may_skip(error.warning):
                    raise
                self._call("model.res.user.warning.skip",
                           (error.warning, False, dict(self.context)), repeatable=True)
        raise Refused("UserWarning", f"Tryton warned more than {_MOST_WARNINGS} times.")

    def version(self) -> str:
        """Tryton's version."""
        answer = self._http.call("POST", "/rpc/", holds=("result",), body={
            "id": 0, "method": "common.server.version", "params": []})
        return str(answer.body["result"])

    def _may_skip(self, name: str) -> bool:
        short = name.partition(".")[2] or name
        return any(fnmatchcase(short, pattern) for pattern in self.settings.skip_warnings)

    def close(self) -> None:
        """Give connections back."""
        self._http.close()

    def _call(self, method: str, params: Sequence[Any], *, repeatable: bool) -> Any:
        used = self._session.token or self._log_in(None)
        status, body = self._post(method, params, repeatable=repeatable)
        if status == 401:  # the session has ended
            self._log_in(used)
            status, body = self._post(method, params, repeatable=repeatable)
        if status == 401:
            raise self._denied()
        return self._result(method, body)

    def _log_in(self, used: str | None) -> str:
        """A session other than `used`; whoever comes second finds the first one's."""
        settings = self.settings
        with self._lock:
            if self._session.token in (None, used):
                self._session.token = None
                secret = settings.password.get_secret_value()
                try:
                    status, body = self._post("common.db.login", (
                        settings.user, {"password": secret}), repeatable=True)
                except OutcomeUnknown as error:
                    raise SystemUnreachable(f"{settings.name}: the login was not answered.",
                                            after=error.after, hint="Sync again later.") from error
                result = body.get("result") if isinstance(body, Mapping) else None
                if status == 401 or not isinstance(result, list):
                    raise self._denied()
                self._session.begin(settings.user, result[0], result[1])
            assert self._session.token is not None
            return self._session.token

    def _denied(self) -> AccessDenied:
        return ReauthRequired(
            f"{self.settings.name}: Tryton does not let {self.settings.user} in.",
            system=self.settings.name, hint="Check user, password and database.")

    def _post(self, method: str, params: Sequence[Any], *, repeatable: bool) -> tuple[int, Any]:
        answer = self._http.call("POST", f"/{self.settings.database}/rpc/", repeatable=repeatable,
                                 accept=(401,), body={"id": 0, "method": method,
                                                      "params": packed(params)})
        told = answer.headers.get("Date")
        self.time = parsedate_to_datetime(told) if told else None
        return answer.status, answer.body

    def _result(self, method: str, body: Any) -> Any:
        """What a call gave. Raises `Refused`."""
        if not isinstance(body, Mapping) or not ({"result", "error"} & set(body)):
            raise OutcomeUnknown(f"{self.settings.name}: {method}: the answer is none of Tryton's.")
        if "error" not in body:
            return unpacked(body["result"])
        kind, *rest = body["error"] if isinstance(body["error"], list) else [str(body["error"])]
        if kind == "UserWarning":
            name, message = str(rest[0][0]), str(rest[0][1])
            raise Refused(kind, f"{message} (a warning; let it pass with skip_warnings: "
                          f"[{name.partition('.')[2] or name}])", name)
        if kind == "UserError":
            message, description = [*rest[0], ""][:2]
            raise Refused(kind, " ".join(str(text) for text in (message, description) if text))
        if kind == "ConcurrencyException":
            raise Refused(kind, "It was changed meanwhile.")
        if any(words in str(kind) for words in _FOR_NOW):
            raise SystemUnreachable(f"{self.settings.name}: {method}: {kind}.",
                                    hint="Sync again later.")
        raise Refused("error", f"Tryton failed: {self._session.hide(str(kind))}")


def packed(value: Any) -> Any:
    """A value in Tryton's JSON; see `number` for what Tryton keeps as a float."""
    if isinstance(value, Decimal):
        return {"__class__": "Decimal", "decimal": f"{value:f}"}
    if isinstance(value, datetime):
        names = ("year", "month", "day", "hour", "minute", "second", "microsecond")
        return {"__class__": "datetime", **{name: getattr(value, name) for name in names}}
    if isinstance(value, date):
        return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}
    if isinstance(value, Mapping):
        return {name: packed(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [packed(inner) for inner in value]
    return value


def unpacked(value: Any) -> Any:
    """The inverse; dates as text, instants as text in UTC."""
    if isinstance(value, list):
        return [unpacked(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("__class__")
    if kind == "Decimal":
        return Decimal(value["decimal"])
    if kind == "date":
        return date(value["year"], value["month"], value["day"]).isoformat()
    if kind == "datetime":
        del value["__class__"]
        return datetime(**value, tzinfo=UTC).isoformat(timespec="microseconds")
    return {name: unpacked(inner) for name, inner in value.items()}


def number(value: Any) -> Any:
    """A quantity as a plain JSON number, exact in its decimals."""
    return None if value is None else orjson.Fragment(f"{Decimal(str(value)):f}")


def day(value: Any) -> date | None:
    """A date given as text. Raises `ValueError`."""
    return None if value is None else date.fromisoformat(str(value))
