"""What a template may hold, and what it costs: kinds of nodes, filters with their arguments, nesting, and a budget of
steps. Everything that can grow, repeat or compare takes its steps before it happens."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

from jinja2 import nodes

from mcp_server.kernel.budgets import Budget, size
from mcp_server.kernel.errors import ValidationFailed

LOOPS_MAX = 2
NESTING_MAX = 24
STEPS_MAX = 1_000_000
SPEND, REPEAT = "__spend", "__repeat"


class Arguments(NamedTuple):
    """What a filter takes: how many in order, and by name."""

    in_order: int = 0
    names: frozenset[str] = frozenset()


FILTERS = dict.fromkeys(
    ("capitalize", "e", "escape", "first", "last", "length", "lower", "striptags", "title", "tojson", "upper"),
    Arguments(),
) | {
    "default": Arguments(2, frozenset(("default_value", "boolean"))),
    "float": Arguments(1, frozenset(("default",))),
    "int": Arguments(1, frozenset(("default",))),
    "join": Arguments(2, frozenset(("d", "attribute"))),
    "round": Arguments(1, frozenset(("precision",))),
    "sort": Arguments(1, frozenset(("reverse", "case_sensitive", "attribute"))),
    "trim": Arguments(1, frozenset(("chars",))),
    "unique": Arguments(1, frozenset(("case_sensitive", "attribute"))),
}
TESTS = (
    *("boolean", "defined", "even", "false", "float", "integer", "iterable", "mapping", "none", "number", "odd"),
    *("sequence", "string", "true", "undefined"),
)
_PRECISION_MAX = 15
_ALLOWED: tuple[type[nodes.Node], ...] = (
    *(nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Name, nodes.Const, nodes.List, nodes.Tuple),
    *(nodes.Dict, nodes.Pair, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter, nodes.Keyword, nodes.Test),
    *(nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr, nodes.Concat, nodes.Add),
    *(nodes.Sub, nodes.Div, nodes.FloorDiv, nodes.Neg, nodes.Pos),
)
_NAMES: dict[type[nodes.Node], str] = {
    nodes.Call: "a call",
    nodes.Mul: "a multiplication",
    nodes.Pow: "a power",
    nodes.Mod: "the operator %",
    nodes.Macro: "a macro",
    nodes.CallBlock: "a call block",
    nodes.FilterBlock: "a filter block",
    nodes.Include: "an include",
    nodes.Import: "an import",
    nodes.FromImport: "an import",
    nodes.Extends: "extends",
    nodes.Assign: "an assignment",
    nodes.AssignBlock: "an assignment",
    nodes.Scope: "a switch of autoescape",
}


class Steps(Budget):
    """How much a text has cost so far."""

    def __init__(self, what: str) -> None:
        super().__init__(f"The {what}", STEPS_MAX, "Give it less to repeat, join or compare.")

    def repeat(self, value: Any, weight: int) -> Any:
        """Count a loop over a value whose body has so many nodes; returns the value."""
        self.take((size(value) + 1) * weight)
        return value

    def charged(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter that counts what it is given before it runs."""
        passed = getattr(function, "jinja_pass_arg", None)  # Jinja's mark: its environment or context comes first
        given = 0 if passed is None else 1

        def run(*arguments: Any, **named: Any) -> Any:
            value, more = arguments[given], (*arguments[given + 1 :], *named.values())
            self.spend(value)
            before = self.taken
            self.spend(more)
            if isinstance(value, list):  # what is given beside a list is used for each of its items
                self.take((self.taken - before) * len(cast("list[Any]", value)))
            if name == "striptags" and isinstance(value, str):  # copies the text once a tag
                self.take(len(value) * value.count("<") // 64)
            result = function(*arguments, **named)
            return list(cast("Iterator[Any]", result)) if isinstance(result, Iterator) else result

        if passed is not None:
            run.__dict__["jinja_pass_arg"] = passed
        return run


def require_allowed(what: str, node: nodes.Node, depth: int = 0, loops: int = 0) -> None:
    """Refuse a tree that holds what templates may not.

    Raises:
        ValidationFailed: naming the line and what stands there.
    """
    for child in node.iter_child_nodes():
        deeper = loops + isinstance(child, nodes.For)
        refused = _refusal(child)
        if deeper > LOOPS_MAX:
            refused = f"a loop {deeper} deep"
        elif depth >= NESTING_MAX:
            refused = f"something {depth + 1} deep"
        if refused is not None:
            raise ValidationFailed(
                f"{what}, line {child.lineno or node.lineno}, holds {refused}, which templates may not.",
                next="They have values, conditions, loops two deep and the filters that docs/communication.md names.",
            )
        require_allowed(what, child, depth + 1, deeper)


def charge(tree: nodes.Template) -> None:
    """Put what counts steps around all that grows, repeats or compares."""
    for node in list(tree.find_all(tuple(_CHARGED))):
        _CHARGED[type(node)](node)


def _charge_loop(node: Any) -> None:
    weight = sum(1 for _ in node.find_all(nodes.Node))
    node.iter = _filtered(node.iter, REPEAT, nodes.Const(weight, lineno=node.lineno))


def _charge_parts(node: Any) -> None:
    node.nodes = [part if isinstance(part, nodes.TemplateData) else _filtered(part, SPEND) for part in node.nodes]


def _charge_sum(node: Any) -> None:
    node.left, node.right = _filtered(node.left, SPEND), _filtered(node.right, SPEND)


def _charge_comparison(node: Any) -> None:
    for side in (node, *node.ops):
        side.expr = _filtered(side.expr, SPEND)


def _charge_slice(node: Any) -> None:
    if isinstance(node.arg, nodes.Slice):  # a slice is a copy
        node.node = _filtered(node.node, SPEND)


_CHARGED: dict[type[nodes.Node], Callable[[Any], None]] = {
    nodes.For: _charge_loop,
    nodes.Output: _charge_parts,
    nodes.Concat: _charge_parts,
    nodes.Add: _charge_sum,
    nodes.Compare: _charge_comparison,
    nodes.Getitem: _charge_slice,
}


def _refusal(node: nodes.Node) -> str | None:
    if not isinstance(node, _ALLOWED):
        return _NAMES.get(type(node), f"a {type(node).__name__}")
    if isinstance(node, nodes.Name) and node.name in ("self", "super"):
        return f"the name {node.name}"
    if isinstance(node, nodes.For) and node.recursive:
        return "a recursive loop"
    return _filter_refusal(node) if isinstance(node, nodes.Filter) else None


def _filter_refusal(node: nodes.Filter) -> str | None:
    takes = FILTERS.get(node.name)
    if takes is None:
        return f"the filter {node.name[:40]}"
    if not _fits(node, takes):
        return f"the filter {node.name} with arguments that it does not take here"
    given = [*node.args, *(keyword.value for keyword in node.kwargs)]
    if node.name == "round" and not all(map(_is_precision, given)):
        return f"the filter round with a precision that is no number from 0 to {_PRECISION_MAX}"
    return None


def _fits(node: nodes.Filter, takes: Arguments) -> bool:
    spread = node.dyn_args is not None or node.dyn_kwargs is not None
    return not spread and len(node.args) <= takes.in_order and {one.key for one in node.kwargs} <= takes.names


def _is_precision(node: nodes.Expr) -> bool:
    return isinstance(node, nodes.Const) and node.value in range(_PRECISION_MAX + 1)


def _filtered(node: nodes.Expr, name: str, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(arguments), [], None, None, lineno=node.lineno)
