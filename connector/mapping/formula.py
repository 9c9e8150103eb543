"""Formulas: small expressions over one payload, for what no path can say. Always one-way.

Evaluated by simpleeval, narrowed further: names of the payload, text, numbers, comparisons, a few
functions. No attributes, no comprehensions, no f-strings; a float literal is an exact Decimal.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from simpleeval import InvalidExpression, SimpleEval

MAX_LENGTH = 500

_FUNCTIONS = {"lower": lambda v: str(v).lower(), "upper": lambda v: str(v).upper(),
              "trim": lambda v: str(v).strip(), "len": len, "text": str,
              "number": lambda v: Decimal(str(v)),
              "first": lambda *given: next((v for v in given if v not in (None, "")), None)}
_REFUSED = (ast.Attribute, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda,
            ast.JoinedStr, ast.Starred, ast.NamedExpr, ast.Subscript)


class Formula:
    """A formula, compiled once. Raises `ValueError` where it is not one we evaluate."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise ValueError(f"a formula has at most {MAX_LENGTH} characters")
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except SyntaxError as error:
            raise ValueError(f"not a formula: {error.msg}") from None
        for node in ast.walk(tree):
            if isinstance(node, _REFUSED):
                raise ValueError(f"{type(node).__name__} is not allowed in a formula")
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                node.value = Decimal(str(node.value))  # type: ignore[assignment]
            if isinstance(node, ast.Call) and not (
                    isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS):
                raise ValueError(f"only these functions are known: {', '.join(_FUNCTIONS)}")
        self.text = text
        self._body = tree.body
        called = {n.func.id for n in ast.walk(tree)
                  if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        self.names = frozenset(n.id for n in ast.walk(tree)
                               if isinstance(n, ast.Name)) - called

    def __call__(self, payload: Mapping[str, Any]) -> Any:
        """The formula's value for a payload. Raises `ValueError`."""
        evaluator = SimpleEval(names={n: payload.get(n) for n in self.names},
                               functions=_FUNCTIONS)
        try:
            return evaluator.eval(self.text, previously_parsed=self._body)
        except (InvalidExpression, ArithmeticError, TypeError, ValueError) as error:
            raise ValueError(f"`{self.text}`: {error}") from None
