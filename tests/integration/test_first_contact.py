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
