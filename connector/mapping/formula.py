"""Formulas: small expressions over one payload, for what no path can say. Always one-way.

Evaluated by simpleeval, narrowed further: only the kinds of expression listed here, names of the
payload's own fields, exact numbers, a few functions. No attributes, no subscripts, no
comprehensions, no f-strings, no powers.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from simpleeval import InvalidExpression, SimpleEval, safe_add

from connector.domain import values

MAX_LENGTH = 500


def _said(value: Any) -> str:
    return "" if value is None else str(value)


def _number(value: Any) -> Decimal:
    number = values.decimal(value)
    if number is None:
        raise ValueError("blank is not a number")
    return number


def _coalesce(*given: Any) -> Any:
    return next((v for v in given if v not in (None, "")), None)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "text": _said, "trim": lambda v: _said(v).strip(), "lower": lambda v: _said(v).lower(),
    "upper": lambda v: _said(v).upper(), "len": lambda v: 0 if v is None else len(v),
    "number": _number, "coalesce": _coalesce,
}


def _exact(*given: Any) -> None:
    """Text times a number makes text as long as one likes; `%` on text formats it."""
    if not all(isinstance(v, int | Decimal) for v in given):
        raise ValueError("only numbers can be multiplied or divided; `number(...)` makes one")


def _times(left: Any, right: Any) -> Any:
    _exact(left, right)
    return left * right


def _over(left: Any, right: Any) -> Any:
    _exact(left, right)
    return Decimal(left) / Decimal(right)  # int / int would be a float


def _rest(left: Any, right: Any) -> Any:
    _exact(left, right)
    return left % right


_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: safe_add, ast.Sub: operator.sub, ast.Mult: _times, ast.Div: _over, ast.Mod: _rest,
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda item, where: item in where, ast.NotIn: lambda item, where: item not in where,
    ast.Not: operator.not_, ast.USub: operator.neg,
}
_ALLOWED = (ast.Expression, ast.Name, ast.Load, ast.Constant, ast.Call, ast.BinOp, ast.UnaryOp,
            ast.BoolOp, ast.And, ast.Or, ast.Compare, ast.IfExp, *_OPERATORS)
_CONSTANTS = (str, bool, int, float, type(None))


class Formula:
    """A formula, compiled once; `names` are the payload's fields it uses. Raises `ValueError`
    where it is none we evaluate."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise ValueError(f"a formula has at most {MAX_LENGTH} characters")
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            said = error.msg if isinstance(error, SyntaxError) else str(error)
            raise ValueError(f"not a formula: {said}") from None
        called = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
        names = set()
        for node in ast.walk(tree):
            _narrow(node)
            if isinstance(node, ast.Name) and id(node) not in called:
                names.add(node.id)
        self.text = text
        self.names = frozenset(names)
        self._body = tree.body

    def __call__(self, payload: Mapping[str, Any]) -> Any:
        """The formula's value for a payload; an absent field counts as blank. Raises
        `ValueError`."""
        evaluator = SimpleEval(names={name: payload.get(name) for name in self.names},
                               functions=FUNCTIONS, operators=_OPERATORS)
        try:
            return evaluator.eval(self.text, previously_parsed=self._body)
        except (InvalidExpression, ArithmeticError, TypeError, ValueError) as error:
            raise ValueError(f"`{self.text}` can't be worked out: {error}") from None


def _narrow(node: ast.AST) -> None:
    if not isinstance(node, _ALLOWED):
        raise ValueError(f"{type(node).__name__} is not allowed in a formula")
    if isinstance(node, ast.Name) and node.id.startswith("_"):
        raise ValueError(f"{node.id} is not allowed in a formula")
    if isinstance(node, ast.Constant):
        if not isinstance(node.value, _CONSTANTS):
            raise ValueError(f"{node.value!r} is not allowed in a formula")
        if isinstance(node.value, float):
            node.value = _decimal_literal(node.value)
    if isinstance(node, ast.Call):
        if not (isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS):
            raise ValueError(f"only these functions are known: {', '.join(FUNCTIONS)}")
        if node.keywords:
            raise ValueError("a function takes no named arguments in a formula")


def _decimal_literal(value: float) -> Any:
    number = Decimal(repr(value))
    if not number.is_finite():
        raise ValueError(f"{value!r} is not allowed in a formula")
    return number
