"""What each shipped transform reads, writes and refuses."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connector.mapping.transforms import REGISTRY

NINE = datetime(2026, 11, 24, 8, 13, 22, 123456, tzinfo=UTC)


@pytest.mark.parametrize(("name", "raw", "value", "written"), [
    ("text", 12, "12", "12"),
    ("upper", "de", "DE", "DE"),
    ("lower", "X.Y", "x.y", "x.y"),
    ("decimal", "12.50", Decimal("12.5"), Decimal("12.5")),
    ("decimal", 3, Decimal(3), Decimal(3)),
    ("decimal_string", "1234.50", Decimal("1234.5"), "1234.50"),
    ("decimal_string", Decimal("0.1250"), Decimal("0.125"), "0.125"),
    ("decimal_string", "-7", Decimal(-7), "-7.00"),
    ("decimal_string", "1E+3", Decimal(1000), "1000.00"),
    ("decimal_2", "10.005", Decimal("10.01"), "10.01"),
    ("decimal_2", 5, Decimal("5.00"), "5.00"),
    ("money", "10.50", Decimal("10.5"), "10.5"),  # its decimals come with its currency
    ("rate", "1.0832", Decimal("1.0832"), "1.0832"),
    ("inverse_rate", "0.8", Decimal("1.25"), "0.8"),
    ("micros", 1_234_500_000, Decimal("1234.5"), 1_234_500_000),
    ("micros", "1", Decimal("0.000001"), 1),
    ("integer", "10", 10, 10),
    ("integer", Decimal("10.0"), 10, 10),
    ("boolean", True, True, True),
    ("not", True, False, True),
    ("utc", "2026-11-24T08:13:22.123456Z", NINE, "2026-11-24T08:13:22.123456Z"),
    ("utc", "2026-11-24T08:13:22Z", NINE.replace(microsecond=0), "2026-11-24T08:13:22.000000Z"),
    ("zoned", "2026-11-24T09:13:22.123456+01:00", NINE, "2026-11-24T08:13:22.123456+00:00"),
    ("date_iso", "2026-11-24", date(2026, 11, 24), "2026-11-24"),
    ("date_dmy", "24.11.2026", date(2026, 11, 24), "24.11.2026"),
    ("date_dmy", "1.2.0900", date(900, 2, 1), "01.02.0900"),
    ("vat_number", " de 123.456.788 ", "DE123456788", "DE123456788"),
    ("vat_number", "BE 428759497", "BE0428759497", "BE0428759497"),
    ("vat_number", "CHE-123.456.789 MWST", "CHE123456789MWST", "CHE123456789MWST"),
    ("vat_number", "nl xx", "NLXX", "NLXX"),
    ("iso_4217", "eur", "EUR", "EUR"),
    ("iso_3166", " no", "NO", "NO"),
    ("email", "Ada.L@EXAMPLE.org", "Ada.L@example.org", "Ada.L@example.org"),
    ("email", "ada@bücher.example", "ada@bücher.example", "ada@bücher.example"),
    ("phone", "+49 (30) 123-456", "+4930123456", "+4930123456"),
    ("phone", " 030  123456 ", "030 123456", "030 123456"),
    ("phone", "+49 30 123456 ext. 5", "+49 30 123456 ext. 5", "+49 30 123456 ext. 5"),
    ("phone", "+49 none", "+49 none", "+49 none"),
    ("phone", "+1 2", "+1 2", "+1 2"),
    ("unit", "EA", "each", "each"),
    ("unit", "Each", "each", "each"),
    ("unit_code", "KGM", "kg", "KGM"),
    ("unit_code", "crate", "crate", "crate"),
])
def test_there_and_back(name: str, raw: Any, value: Any, written: Any) -> None:
    transform = REGISTRY[name]
    decoded = transform.decode(raw)
    assert (decoded, type(decoded)) == (value, type(value))
    assert transform.encode is not None
    encoded = transform.encode(decoded)
    assert (encoded, type(encoded)) == (written, type(written))


@pytest.mark.parametrize(("name", "raw", "said"), [
    ("decimal", "1,5", "'1,5' is not a number"),
    ("decimal", 1.5, "1.5 is not an exact decimal"),
    ("decimal_string", True, "True is not an exact decimal"),
    ("decimal", "NaN", "'NaN' is not a finite number"),
    ("micros", "1.5", "'1.5' is not a whole number"),
    ("integer", "1.5", "'1.5' is not a whole number"),
    ("boolean", "true", "'true' is neither true nor false"),
    ("not", 0, "0 is neither true nor false"),
    ("utc", "2026-11-24T08:13:22", "2026-11-24T08:13:22 has no time zone"),
    ("utc", "yesterday", "'yesterday' is no instant like 2026-11-24T09:00:00Z"),
    ("date_iso", "24.11.2026", "'24.11.2026' is no date like 2026-11-24"),
    ("date_dmy", "31.02.2026", "'31.02.2026' is no date like 24.11.2026"),
    ("date_dmy", "24.11.26", "'24.11.26' is no date like 24.11.2026"),
    ("iso_4217", "EURO", "'EURO' is no ISO 4217 currency"),
    ("rate", "-1.08", "'-1.08' is no exchange rate: more than 0 is expected"),
    ("inverse_rate", 0, "0 is no exchange rate: more than 0 is expected"),
    ("iso_3166", "UK", "'UK' is no ISO 3166-1 alpha-2 country"),
])
def test_what_is_refused(name: str, raw: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        REGISTRY[name].decode(raw)
    assert str(caught.value) == said


@pytest.mark.parametrize("raw", ["ada", "@example.org", "a@b@c.org", "a@.example.org", "a b@x.org",
                                 "a@x..org", ".a@x.org", "a@-x.org", "a@" + "x" * 64 + ".org"])
def test_what_is_no_e_mail_address(raw: str) -> None:
    with pytest.raises(ValueError, match="is no e-mail address"):
        REGISTRY["email"].decode(raw)


def test_micros_have_six_decimals() -> None:
    encode = REGISTRY["micros"].encode
    assert encode is not None
    with pytest.raises(ValueError, match=r"0\.0000001 has more than six decimals"):
        encode(Decimal("0.0000001"))


def test_every_transform_is_named_as_it_is_registered_and_says_what_it_does() -> None:
    for name, transform in REGISTRY.items():
        assert transform.name == name
        assert transform.doc.endswith(".")
