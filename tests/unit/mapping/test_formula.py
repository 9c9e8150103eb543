"""Formulas compute, and can do nothing else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from connector.mapping.formula import MAX_LENGTH, Formula


@pytest.mark.parametrize(("text", "value"), [
    ("kind == 'company'", True), ("kind != 'company' or size > 10", False),
    ("0.1 + 0.2", Decimal("0.3")), ("size / 4", Decimal("2.5")), ("size % 4", 2),
    ("number(price) * size", Decimal("125.0")), ("-size + 1", -9),
    ("'yes' if kind in 'company, person' else 'no'", "yes"),
    ("nothing is None", True), ("kind is not None and 'x' not in kind", True),
    ("upper(kind) + '-' + lower('X')", "COMPANY-x"), ("trim('  a ')", "a"),
    ("text(nothing) + text(size)", "10"), ("len(kind) + len(nothing)", 7),
    ("coalesce(nothing, '', kind)", "company"), ("coalesce(nothing)", None),
    ("not nothing", True), ("  1 <= size  ", True),
])
def test_what_formulas_give(text: str, value: Any) -> None:
    payload = {"kind": "company", "size": 10, "price": "12.50", "unused": {}}
    result = Formula(text)(payload)
    assert result == value
    assert not isinstance(result, float)


def test_names_are_the_payloads_fields_used() -> None:
    assert Formula("text(first) + last + upper(text)").names == {"first", "last", "text"}
    assert Formula("1 + 1").names == frozenset()


@pytest.mark.parametrize(("text", "said"), [
    ("a.b", "Attribute is not allowed in a formula"),
    ("''.__class__", "Attribute is not allowed in a formula"),
    ("a['b']", "Subscript is not allowed in a formula"),
    ("[x for x in a]", "ListComp is not allowed in a formula"),
    ("{x for x in a}", "SetComp is not allowed in a formula"),
    ("{x: 1 for x in a}", "DictComp is not allowed in a formula"),
    ("len(x for x in a)", "GeneratorExp is not allowed in a formula"),
    ("[1, 2]", "List is not allowed in a formula"),
    ("(1, 2)", "Tuple is not allowed in a formula"),
    ("{'a': 1}", "Dict is not allowed in a formula"),
    ("f'{a}'", "JoinedStr is not allowed in a formula"),
    ("lambda: 1", "Lambda is not allowed in a formula"),
    ("(a := 1)", "NamedExpr is not allowed in a formula"),
    ("9 ** 9", "Pow is not allowed in a formula"),
    ("1 << 9", "LShift is not allowed in a formula"),
    ("a | b", "BitOr is not allowed in a formula"),
    ("~a", "Invert is not allowed in a formula"),
    ("__import__('os')", "only these functions are known: text, trim, lower, upper, len, number, "
                         "coalesce"),
    ("_secret", "_secret is not allowed in a formula"),
    ("b'a'", "b'a' is not allowed in a formula"),
    ("1j", "1j is not allowed in a formula"),
    ("1e999", "inf is not allowed in a formula"),
    ("...", "Ellipsis is not allowed in a formula"),
    ("open('x')", "only these functions are known: text, trim, lower, upper, len, number, "
                  "coalesce"),
    ("(upper)('x')('y')", "only these functions are known: text, trim, lower, upper, len, "
                          "number, coalesce"),
    ("len(*a)", "Starred is not allowed in a formula"),
    ("len(a, b=1)", "a function takes no named arguments in a formula"),
    ("a = 1", "not a formula: invalid syntax"),
    ("", "not a formula: invalid syntax"),
    ("a\x00", "not a formula: source code string cannot contain null bytes"),
    ("1 + " * 125 + "1", f"a formula has at most {MAX_LENGTH} characters"),
])
def test_what_is_refused_when_a_formula_is_compiled(text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        Formula(text)
    assert str(caught.value) == said


@pytest.mark.parametrize(("text", "said"), [
    ("'%999999d' % 1", "only numbers can be multiplied or divided; `number(...)` makes one"),
    ("'a' * 99999999", "only numbers can be multiplied or divided; `number(...)` makes one"),
    ("1 / 0", "[<class 'decimal.DivisionByZero'>]"),
    ("number('')", "blank is not a number"),
    ("number('x')", "'x' is not a number"),
    ("gone + 1", "unsupported operand type(s) for +: 'NoneType' and 'int'"),
])
def test_what_fails_when_a_formula_is_worked_out(text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        Formula(text)({})
    assert str(caught.value) == f"`{text}` can't be worked out: {said}"


def test_long_text_cant_be_grown_without_end() -> None:
    with pytest.raises(ValueError, match="can't be worked out"):
        Formula("a + a")({"a": "x" * 60_000})
