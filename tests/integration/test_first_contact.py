"""Which records belong together is known even where one of them can't be read yet."""

from __future__ import annotations

from tests.integration.conftest import Pair


def names(pair: Pair) -> tuple[list[str], list[str]]:
    """The accounts of the CRM and the customers of the ERP."""
    return (sorted(a["name"] for a in pair.in_crm("accounts")),
            sorted(c["display_name"] for c in pair.in_erp("customers")))


def test_the_counterpart_of_a_parked_record_waits_for_it(pair: Pair) -> None:
    account = pair.crm("POST", "accounts", {"name": "Acme", "vatNumber": "DE1", "country": "QQ"})
    pair.sync()  # unreadable: parked
    pair.erp("POST", "customers/bulk", {"rows": [
        {"display_name": "Acme", "tax": {"vat_no": "DE1"}}]})
    pair.sync()
    assert names(pair) == (["Acme"], ["Acme"])
    pair.crm("PATCH", f"accounts/{account['id']}", {"country": "DE"})
    pair.sync()
    assert names(pair) == (["Acme"], ["Acme"])
    (customer,) = pair.in_erp("customers")
    assert customer["address"]["country_code"] == "DE"
    pair.quiet()


def ambiguous(pair: Pair) -> list[str]:
    """The records of which a person is asked which one they are."""
    return [c.title for c in pair.conflicts() if c.kind == "ambiguous_match"]


def acme_on_both(pair: Pair) -> str:
    """An account with the VAT number DE1 and its customer; returns the account's ID."""
    account = pair.crm("POST", "accounts", {"name": "Acme", "vatNumber": "DE1"})
    pair.sync()
    assert names(pair) == (["Acme"], ["Acme"])
    return str(account["id"])


def test_who_is_held_up_for_a_place_takes_it_once_it_is_free(pair: Pair) -> None:
    first = acme_on_both(pair)
    pair.crm("POST", "accounts", {"name": "Acme again", "vatNumber": "DE1"})
    pair.sync()
    assert ambiguous(pair) == ["Acme again"]
    pair.crm("DELETE", f"accounts/{first}")
    pair.sync()
    assert ambiguous(pair) == []
    assert len(pair.in_erp("customers")) == 1
    assert not pair.in_erp("customers")[0]["archived"]
    pair.quiet()


def test_a_deletion_read_with_the_one_entered_anew_makes_room_for_it(pair: Pair) -> None:
    first = acme_on_both(pair)
    pair.crm("DELETE", f"accounts/{first}")
    pair.crm("POST", "accounts", {"name": "Acme", "vatNumber": "DE1", "phone": "+49 30 1234567"})
    pair.sync()
    assert ambiguous(pair) == []
    (customer,) = pair.in_erp("customers")
    assert (customer["archived"], customer["tel"]) == (False, "+49301234567")
    pair.quiet()
    pair.sound()
