"""Seeds an empty Tryton database; run by the Python of Tryton's own environment:

    python seed.py CONFIG DATABASE < facts.json

It makes what a trading company has on its first day: currencies, a chart of accounts, taxes, years
of fiscal periods, payment terms, two warehouses, and the users that the tests log in as. There are
no customers, products or documents.
"""

import datetime
import json
import sys
from decimal import Decimal

from proteus import Model, config
from trytond.modules.account.tests.tools import create_chart, create_fiscalyear, get_accounts
from trytond.modules.account_invoice.tests.tools import set_fiscalyear_invoice_sequences
from trytond.modules.company.tests.tools import create_company, get_company

GROUPS = ("sale.group_sale", "sale.group_sale_admin", "stock.group_stock", "account.group_account",
          "product.group_product_admin", "account_product.group_account_product_admin",
          "party.group_party_admin", "sale_opportunity.group_opportunity")
MORE_GROUPS = {"clerk": GROUPS, "boss": (*GROUPS, "account_credit_limit.group_credit_limit")}
YEARS = 10


def currencies():
    """The euro, and a dollar worth half of it."""
    made = {}
    for code, name, symbol, rate in (("EUR", "Euro", "€", "1"), ("USD", "US Dollar", "$", "2")):
        made[code] = Model.get("currency.currency")(
            name=name, code=code, symbol=symbol, rounding=Decimal("0.01"))
        made[code].save()
        Model.get("currency.currency.rate")(
            date=datetime.date(2000, 1, 1), rate=Decimal(rate), currency=made[code]).save()
    return made


def fiscal_years(company, first):
    """Fiscal years with their periods, so that a kept database serves for years."""
    for year in range(first, first + YEARS):
        span = datetime.date(year, 1, 1), datetime.date(year, 12, 31)
        fiscal_year = set_fiscalyear_invoice_sequences(create_fiscalyear(company, span))
        fiscal_year.click("create_period")


def taxes(company, accounts, rates):
    """A tax for each rate, and a category of products that bears it."""
    for rate in rates:
        tax = Model.get("account.tax")(
            name=f"VAT {rate} %", description=f"VAT {rate} %", type="percentage",
            rate=Decimal(rate) / 100, invoice_account=accounts["tax"],
            credit_note_account=accounts["tax"])
        tax.save()
        category = Model.get("product.category")(
            name=f"Goods {rate} %", accounting=True, account_expense=accounts["expense"],
            account_revenue=accounts["revenue"])
        category.customer_taxes.append(tax)
        category.save()


def payment_terms(terms):
    """Terms by name: the whole sum, so many days after the invoice."""
    for name, days in terms.items():
        term = Model.get("account.invoice.payment_term")(name=name)
        line = term.lines.new(type="remainder")
        line.relativedeltas.new(days=days)
        term.save()


def second_warehouse():
    """A warehouse WH2 beside the WH that Tryton brings."""
    location = Model.get("stock.location")
    (first,) = location.find([("code", "=", "WH")])
    parts = {}
    for name in ("input", "output", "storage"):
        parts[f"{name}_location"] = location(name=f"{name} 2", type="storage", code=f"{name}2")
        parts[f"{name}_location"].save()
    lost = location(name="Lost and Found 2", type="lost_found", code="LF2")
    lost.save()
    location(name="Warehouse 2", type="warehouse", code="WH2", lost_found_location=lost,
             **parts).save()
    first.name = "Warehouse 1"
    first.save()


def employee(company):
    """Someone who answers for opportunities; without one Tryton keeps them as leads."""
    party = Model.get("party.party")(name="Kim Clerk")
    party.save()
    made = Model.get("company.employee")(party=party, company=company)
    made.save()
    return made.id


def users(company, employee, password):
    """Users that are no administrators."""
    data, context = Model.get("ir.model.data"), config.get_config().context
    for login, groups in MORE_GROUPS.items():
        user = Model.get("res.user")(name=login.title(), login=login)
        user.password = password
        for group in groups:
            user.groups.append(Model.get("res.group")(data.get_id(group, context)))
        user.companies.append(Model.get("company.company")(company.id))
        user.company = Model.get("company.company")(company.id)
        user.employees.append(Model.get("company.employee")(employee))
        user.employee = Model.get("company.employee")(employee)
        user.save()


def main():
    """Seed; see the module."""
    facts = json.load(sys.stdin)
    config.set_trytond(database=sys.argv[2], user="admin", config_file=sys.argv[1])
    country = Model.get("country.country")
    context = config.get_config().context
    country._proxy.create([{"name": code, "code": code} for code in facts["countries"]], context)
    euro = currencies()["EUR"]
    party = Model.get("party.party")(name="The Company")
    party.save()
    create_company(party, euro)
    company = get_company()
    create_chart(company)
    accounts = get_accounts(company)
    fiscal_years(company, facts["year"] - 1)
    taxes(company, accounts, facts["taxes"])
    payment_terms(facts["terms"])
    (cash,) = Model.get("account.journal").find([("type", "=", "cash")])
    Model.get("account.invoice.payment.method")(
        name="Cash", journal=cash, credit_account=accounts["cash"],
        debit_account=accounts["cash"]).save()
    second_warehouse()
    relation = Model.get("party.relation.type")
    of = relation(name="Contact of")
    of.save()
    has = relation(name="Has contact", reverse=of)
    has.save()
    of.reverse = has
    of.save()
    users(company, employee(company), facts["password"])


main()
