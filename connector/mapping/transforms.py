"""Named transforms: pure functions between a system's value and a canonical one.

`decode` reads (system → canonical), `encode` writes (canonical → system); a transform without
`encode` goes one way. A *lossy* one may encode two canonical values alike; on reading, the value
last agreed is kept where it encodes to what is read. None never reaches a transform.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from connector.domain import values
from connector.domain.currencies import CURRENCIES, EXACT
from connector.errors import ConfigInvalid
from connector.mapping.codes import COUNTRIES, UNITS

_MICRO = Decimal(1_000_000)
_CENT = Decimal("0.01")
_RATE = Context(prec=12, rounding=ROUND_HALF_UP)  # the digits an inverted rate is kept with
_DMY = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")
_PLAIN_EMAIL = re.compile(
    r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]+")
# A record is read several times on its way, and many records hold the same values.
_remembered = lru_cache(maxsize=100_000)
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
# Countries whose numbers have a shorter, older form, which the standard one fills with zeros.
_PADDED = frozenset({"BE", "EL", "GR", "NL"})
_UNIT_WORDS = {code: word for word, code in UNITS.items()}


@dataclass(frozen=True, slots=True)
class Transform:
    """A named pair of pure functions; both raise `ValueError` saying what is wrong."""

    name: str
    decode: Callable[[Any], Any]
    encode: Callable[[Any], Any] | None
    doc: str
    lossy: bool = False


def _exact(value: Any) -> Decimal:
    number = values.decimal(value)
    if number is None:
        raise ValueError("blank is not a number")
    return number


def _decimal_text(value: Decimal) -> str:
    """As text with at least two decimals and never fewer than it has."""
    places = -int(values.plain(value).as_tuple().exponent)
    return f"{value:.{max(2, places)}f}"


def _cents(value: Decimal) -> Decimal:
    return value.quantize(_CENT, ROUND_HALF_UP, EXACT)


def _rate(value: Any) -> Decimal:
    rate = _exact(value)
    if rate <= 0:
        raise ValueError(f"{value!r} is no exchange rate: more than 0 is expected")
    return rate


def _inverse(value: Any) -> Decimal:
    return values.plain(_RATE.divide(Decimal(1), _rate(value)))


def _integer(value: Any) -> int:
    if type(value) is int:
        return value
    number = _exact(value)
    if number != number.to_integral_value():
        raise ValueError(f"{value!r} is not a whole number")
    return int(number)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"{value!r} is neither true nor false")


def _to_micros(value: Decimal) -> int:
    micros = EXACT.multiply(value, _MICRO)
    if micros != micros.to_integral_value():
        raise ValueError(f"{value:f} has more than six decimals")
    return int(micros)


def _instant(value: Any) -> datetime:
    try:
        instant = datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"{value!r} is no instant like 2026-11-24T09:00:00Z") from None
    return values.utc(instant)


def _instant_text(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _iso_date(value: Any) -> date:
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"{value!r} is no date like 2026-11-24") from None


def _midnight(value: Any) -> datetime:
    return datetime.combine(_iso_date(value), time(), UTC)


def _dmy_date(value: Any) -> date:
    found = _DMY.fullmatch(str(value).strip())
    try:
        if found:
            return date(int(found[3]), int(found[2]), int(found[1]))
    except ValueError:
        pass  # no such day
    raise ValueError(f"{value!r} is no date like 24.11.2026")


def _dmy_text(value: date) -> str:
    return f"{value.day:02}.{value.month:02}.{value.year:04}"


@_remembered
def _vat_number(value: Any) -> str:
    text = "".join(ch for ch in str(value).upper() if ch.isalnum())
    if text[:2] not in _PADDED:
        return text
    from stdnum.eu import vat

    try:
        return str(vat.validate(text))
    except ValueError:
        return text


@_remembered
def _currency(value: Any) -> str:
    code = str(value).strip().upper()
    if code not in CURRENCIES:
        raise ValueError(f"{value!r} is no ISO 4217 currency")
    return code


@_remembered
def _country(value: Any) -> str:
    code = str(value).strip().upper()
    if code not in COUNTRIES:
        raise ValueError(f"{value!r} is no ISO 3166-1 alpha-2 country")
    return code


@_remembered
def _email(value: Any) -> str:
    text = str(value).strip()
    local, _, domain = text.rpartition("@")
    if len(text) <= 254 and len(local) <= 64 and _PLAIN_EMAIL.fullmatch(text):
        return f"{local}@{domain.lower()}"  # needs no closer look
    from email_validator import EmailNotValidError, validate_email

    try:
        checked = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(f"{value!r} is no e-mail address: {error}") from None
    return checked.normalized


@_remembered
def _phone(value: Any) -> str:
    text = " ".join(str(value).split())
    if not text.startswith("+") or _E164.fullmatch(text):
        return text
    import phonenumbers

    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return text
    if number.extension or not phonenumbers.is_possible_number(number):
        return text  # E.164 would drop the extension
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _unit(value: Any) -> str:
    text = str(value).strip()
    return _UNIT_WORDS.get(text.upper(), text.lower() if text.lower() in UNITS else text)


def _same(value: Any) -> Any:
    return value


REGISTRY: dict[str, Transform] = {t.name: t for t in (
    Transform("text", str, _same, "Text, as it is."),
    Transform("upper", lambda v: str(v).upper(), lambda v: str(v).upper(), "Text in capitals.",
              lossy=True),
    Transform("lower", lambda v: str(v).lower(), lambda v: str(v).lower(),
              "Text in small letters.", lossy=True),
    Transform("decimal", _exact, _same, "An exact number; written as a JSON number."),
    Transform("decimal_string", _exact, _decimal_text,
              "An exact number; written as text with at least two decimals."),
    Transform("decimal_2", lambda v: _cents(_exact(v)), lambda v: f"{_cents(v):f}",
              "A price, rounded half up to two decimals; written as text.", lossy=True),
    Transform("money", _exact, lambda v: f"{v:f}",
              "An amount; written as text with the decimals of its currency: 100, 1.50, 1.234."),
    Transform("rate", _rate, lambda v: f"{v:f}",
              "An exchange rate that the system states as we do: units of the document's currency "
              "for one of `rate_base`; written as text."),
    Transform("inverse_rate", _inverse, lambda v: f"{_inverse(v):f}",
              "An exchange rate that the system states the other way round, turned over to twelve "
              "digits; written as text.", lossy=True),
    Transform("micros", lambda v: values.plain(EXACT.divide(_integer(v), _MICRO)), _to_micros,
              "An amount kept as a whole number of millionths."),
    Transform("integer", _integer, _integer,
              "A whole number; with `link`, for systems whose IDs are numbers."),
    Transform("boolean", _boolean, _same, "True or false; nothing else will do."),
    Transform("not", lambda v: not _boolean(v), lambda v: not v,
              "The opposite: `archived` for `active`."),
    Transform("utc", _instant, _instant_text, "An instant with its zone; written in UTC with Z."),
    Transform("zoned", _instant, lambda v: v.isoformat(),
              "An instant with its offset; written with the offset +00:00."),
    Transform("date_iso", _iso_date, lambda v: v.isoformat(), "A date as 2026-11-24."),
    Transform("midnight", _midnight, None,
              "An instant from a date as 2026-11-24: its midnight, UTC. One-way."),
    Transform("date_dmy", _dmy_date, _dmy_text, "A date as 24.11.2026."),
    Transform("vat_number", _vat_number, _same,
              "A tax number in capitals, letters and digits only."),
    Transform("iso_4217", _currency, _same, "A currency code that ISO 4217 knows."),
    Transform("iso_3166", _country, _same, "A country code that ISO 3166-1 alpha-2 knows."),
    Transform("email", _email, _same, "An e-mail address, its domain in small letters."),
    Transform("phone", _phone, _same,
              "A telephone number: E.164 where it is international, else as it is."),
    Transform("unit", _unit, _same, "A unit as a word where its code is known, else as it is."),
    Transform("unit_code", _unit, lambda v: UNITS.get(v, v),
              "A unit as a word; written as its UN/ECE code where it has one."),
)}


def load_transforms(path: Path) -> Mapping[str, Transform]:
    """The transforms that a user's Python file defines as `TRANSFORMS = {name: Transform}`.

    Raises `ConfigInvalid` where the file fails or defines none.
    """
    try:
        found = runpy.run_path(str(path)).get("TRANSFORMS")
    except FileNotFoundError:
        raise ConfigInvalid(f"{path}: no such file.",
                            hint="`transforms` names a Python file.") from None
    except Exception as error:
        raise ConfigInvalid(f"{path}: {type(error).__name__}: {error}.") from error
    if not isinstance(found, Mapping) or not all(
            isinstance(t, Transform) for t in found.values()):
        raise ConfigInvalid(f"{path}: defines no TRANSFORMS = {{name: Transform}}.",
                            hint="Import Transform from connector.mapping.transforms.")
    return found
