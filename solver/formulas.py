"""Arithmetic in text, such as `sqrt(dw / rho)` or `dw / rho < 50`; nothing else is run."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import CodeType
from typing import Any

import numpy as np

from ..errors import InputError

OF_ONE: Mapping[str, Callable[..., Any]] = {
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "abs": np.abs,
}
"""Functions of one value."""

OF_SEVERAL: Mapping[str, Callable[..., Any]] = {
    "min": lambda *values: functools.reduce(np.minimum, values),
    "max": lambda *values: functools.reduce(np.maximum, values),
}
"""Functions of two values or more, which may be arrays."""

FUNCTIONS = {**OF_ONE, **OF_SEVERAL}
"""What a formula may call."""

NODES = (
    ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Call, ast.Compare, ast.BoolOp, ast.And,
    ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.BinOp, ast.Add, ast.Sub, ast.Mult,
    ast.Div, ast.Pow, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq,
)  # fmt: skip
"""What a formula may consist of."""


@dataclass(frozen=True)
class Formula:
    """Numbers, names, + - * / **, comparisons, `and`, `or`, `not`, and `FUNCTIONS`.

    Attributes
    ----------
    text : str
        The formula, in Python's syntax.

    Raises
    ------
    InputError
        If the text is no such formula.
    """

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise InputError(f"a formula is text such as 'dw / rho < 50', got {self.text!r}")
        called = {id(node.func) for node in ast.walk(self._tree) if isinstance(node, ast.Call)}
        for node in ast.walk(self._tree):
            if not isinstance(node, NODES):
                self._refuse(f"{type(node).__name__.lower()} has no place in it")
            if isinstance(node, ast.Constant) and type(node.value) not in (int, float):
                self._refuse(f"{node.value!r} is no number")
            if isinstance(node, ast.Call) and (
                not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS
            ):
                self._refuse(f"it may call {', '.join(FUNCTIONS)} alone")
            if isinstance(node, ast.Name) and node.id in FUNCTIONS and id(node) not in called:
                self._refuse(f"{node.id} is a function, called as in {node.id}(...)")
            if isinstance(node, ast.Call):
                self._check_arguments(node)

    def _check_arguments(self, call: ast.Call) -> None:
        """Refuse a call with another number of values than its function takes."""
        name, n = ast.unparse(call.func), len(call.args)
        if name in OF_ONE and n != 1:
            self._refuse(f"{name} takes one value, got {n}")
        if name in OF_SEVERAL and n < 2:
            self._refuse(f"{name} takes two values or more, got {n}")

    @property
    def names(self) -> frozenset[str]:
        """The names whose values it takes."""
        names = {node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name)}
        return frozenset(names - set(FUNCTIONS))

    @property
    def is_condition(self) -> bool:
        """Whether its value is true or false instead of a number."""
        return isinstance(self._tree.body, ast.Compare | ast.BoolOp) or (
            isinstance(self._tree.body, ast.UnaryOp) and isinstance(self._tree.body.op, ast.Not)
        )

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """Its value for given values of its names: numbers, or arrays if it compares nothing.

        A name's value divided by 0 gives infinity or NaN.

        Raises
        ------
        InputError
            If a number in it is too large, or divided by 0, or it computes with a comparison.
        """
        with np.errstate(all="ignore"):
            known = {name: np.asarray(values[name], np.float64)[()] for name in self.names}
            try:
                return eval(self._code, {"__builtins__": {}, **FUNCTIONS}, known)
            except (ArithmeticError, TypeError) as error:
                raise InputError(f"the formula {self.text!r} has no value: {error}") from None

    @cached_property
    def _tree(self) -> ast.Expression:
        try:
            return ast.parse(self.text.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else "it is too long"
            raise InputError(f"the formula {self.text!r} cannot be read: {reason}") from None

    @cached_property
    def _code(self) -> CodeType:
        return compile(_Floats().visit(self._tree), self.text, "eval")

    def _refuse(self, why: str) -> None:
        raise InputError(
            f"the formula {self.text!r} is to be arithmetic of parameters, as in "
            f"'sqrt(dw / rho) < 5': {why}"
        )


class _Floats(ast.NodeTransformer):
    """All numbers as floats: their powers overflow, while those of integers take for ever."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        value = float(node.value)  # type: ignore[arg-type]
        return ast.copy_location(ast.Constant(value), node)
