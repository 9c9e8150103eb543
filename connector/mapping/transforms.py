"""Named transforms: pure functions between a system's value and a canonical one.

`decode` reads (system → canonical), `encode` writes (canonical → system); a transform without
`encode` goes one way. A *lossy* one may encode two canonical values alike; on reading, the value
last agreed is kept where it encodes to what is read. None never reaches a transform.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from connector.domain import values
from connector.errors import ConfigInvalid

_MICRO = Decimal(1_000_000)


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


def _money_text(value: Decimal) -> str:
    return f"{value:.2f}" if value == value.quantize(values.CENT) else f"{value:f}"


def _integer(value: Any) -> int:
    number = _exact(value)
    if number != number.to_integral_value():
        raise ValueError(f"{value!r} is not a whole number")
    return int(number)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"{value!r} is neither true nor false")


def _to_micros(value: Decimal) -> int:
    micros = value * _MICRO
    if micros != micros.to_integral_value():
        raise ValueError(f"{value} has more than six decimals")
    return int(micros)


def _instant(value: Any) -> datetime:
    return values.utc(datetime.fromisoformat(str(value)))


def _instant_text(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _iso_date(value: Any) -> date:
    return date.fromisoformat(str(value))


def _dmy_date(value: Any) -> date:
    day, month, year = str(value).split(".")
    return date(int(year), int(month), int(day))


def _dmy_text(value: date) -> str:
    return value.strftime("%d.%m.%Y")


def _vat_number(value: Any) -> str:
    return "".join(ch for ch in str(value).upper() if ch.isalnum())


def _currency(value: Any) -> str:
    from connector.mapping.codes import CURRENCIES

    code = str(value).strip().upper()
    if code not in CURRENCIES:
        raise ValueError(f"{value!r} is no ISO 4217 currency")
    return code


def _country(value: Any) -> str:
    from connector.mapping.codes import COUNTRIES

    code = str(value).strip().upper()
    if code not in COUNTRIES:
        raise ValueError(f"{value!r} is no ISO 3166-1 alpha-2 country")
    return code


def _email(value: Any) -> str:
    from email_validator import EmailNotValidError, validate_email

    text = str(value).strip()
    local, _, domain = text.rpartition("@")
    if _plain_address(local, domain):
        return f"{local}@{domain.lower()}"
    try:
        checked = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(f"{value!r} is no e-mail address: {error}") from None
    return checked.normalized


def _plain_address(local: str, domain: str) -> bool:
    """Whether an address is of the plain kind that needs no closer look."""
    return (local.isascii() and domain.isascii() and "." in domain
            and local.replace(".", "").replace("-", "").replace("_", "").isalnum()
            and not local.startswith(".") and not local.endswith(".") and ".." not in local
            and all(part.replace("-", "").isalnum() and part[0] != "-" != part[-1]
                    for part in domain.split(".") if part)
            and ".." not in domain and domain[-1] != "." and len(local) <= 64)


def _phone(value: Any) -> str:
    text = " ".join(str(value).split())
    if not text.startswith("+"):
        return text
    import phonenumbers

    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return text
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _same(value: Any) -> Any:
    return value


REGISTRY: dict[str, Transform] = {t.name: t for t in (
    Transform("text", str, _same, "Text, as it is."),
    Transform("upper", lambda v: str(v).upper(), _same, "Text in capitals."),
    Transform("lower", lambda v: str(v).lower(), _same, "Text in small letters."),
    Transform("decimal", _exact, _same, "An exact number; written as a JSON number."),
    Transform("decimal_string", _exact, _money_text,
              "An exact number; written as text with at least two decimals."),
    Transform("decimal_2", lambda v: values.cents(_exact(v)), _money_text,
              "An amount, rounded half up to two decimals; written as text."),
    Transform("micros", lambda v: values.plain(Decimal(_integer(v)) / _MICRO), _to_micros,
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
    Transform("date_dmy", _dmy_date, _dmy_text, "A date as 24.11.2026."),
    Transform("vat_number", _vat_number, _same,
              "A tax number in capitals, letters and digits only."),
    Transform("iso_4217", _currency, _same, "A currency code that ISO 4217 knows."),
    Transform("iso_3166", _country, _same, "A country code that ISO 3166-1 alpha-2 knows."),
    Transform("email", _email, _same, "An e-mail address, its domain in small letters."),
    Transform("phone", _phone, _same,
              "A telephone number: E.164 where it is international, else as it is."),
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
