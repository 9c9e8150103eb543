"""A match key that names a parent is known once the parent is linked, and matches then."""

from __future__ import annotations

from tests.integration.conftest import Pair


def test_stock_of_a_product_that_is_linked_in_the_same_run_is_matched(pair: Pair) -> None:
    product = pair.crm("POST", "products", {"sku": "P-1", "name": "Pump"})
    pair.crm("POST", "stockLevels", {"productId": product["id"], "warehouse": "MAIN"})
    (item,) = pair.erp("POST", "items/bulk", {"rows": [{"item_code": "P-1", "label": "Pump"}]}
                       )["rows"]
    pair.erp("POST", "warehouses/bulk", {"rows": [{"code": "MAIN", "name": "Main"}]})
    (level,) = pair.erp("POST", "stock_levels/bulk", {"rows": [
        {"item_id": item["row"]["id"], "warehouse": "MAIN", "count": {"qty": "7"}}]})["rows"]
    assert level["ok"], level
    pair.sync()
    (seen,) = pair.in_crm("stockLevels")
    assert (seen["productId"], seen["warehouse"], float(seen["onHand"])) \
        == (product["id"], "MAIN", 7)
    assert len(pair.in_erp("stock_levels")) == 1
    pair.quiet()
