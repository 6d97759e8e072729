"""Jinja2 for email templates, cut down to what a mail needs: values, conditions, loops two deep and a few filters.

Nothing can be called, multiplied or formatted by a pattern, so a template can neither reach into the server nor ask for
a gigabyte.
"""

from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mcp_server.domain.email.model import BODY_CHARACTERS_MAX
from mcp_server.kernel.errors import LimitExceeded, ValidationFailed

LOOPS_MAX = 2
FILTERS = (
    *("capitalize", "default", "e", "escape", "first", "float", "int", "join", "last", "length", "lower"),
    *("round", "sort", "striptags", "title", "tojson", "trim", "unique", "upper"),
)
_REFUSED = {
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
}


def render(what: str, source: str, variables: Mapping[str, Any], *, html: bool) -> str:
    """A text with the variables put in; escaped where it is HTML.

    Raises:
        ValidationFailed: the template is wrong, or uses what it may not; the message names the line.
        LimitExceeded: what came out is too long.
    """
    environment = ImmutableSandboxedEnvironment(autoescape=html, undefined=StrictUndefined)
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in FILTERS}
    try:
        _require_simple(what, environment.parse(source))
        pieces, size = list[str](), 0
        for piece in environment.from_string(source).generate(variables):
            size += len(piece)
            if size > BODY_CHARACTERS_MAX:
                raise LimitExceeded(
                    f"The {what} comes to over {BODY_CHARACTERS_MAX} characters.", next="Give it less to repeat."
                )
            pieces.append(piece)
    except (TemplateError, TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
        if isinstance(error, ValidationFailed):
            raise
        line = getattr(error, "lineno", None)
        raise ValidationFailed(
            f"The {what}{f', line {line},' if line else ''} cannot be filled in: {str(error)[:200]}.",
            next="Try it with email_send(dry_run=true).",
        ) from None
    return "".join(pieces)


def _require_simple(what: str, tree: nodes.Node, loops: int = 0) -> None:
    for node in tree.iter_child_nodes():
        refused = next((name for kind, name in _REFUSED.items() if isinstance(node, kind)), None)
        if isinstance(node, nodes.Name) and node.name in ("self", "super"):
            refused = f"the name {node.name}"
        deeper = loops + isinstance(node, nodes.For)
        if deeper > LOOPS_MAX:
            refused = f"a loop {deeper} deep"
        if refused is not None:
            raise ValidationFailed(f"The {what}, line {node.lineno}, holds {refused}, which templates may not.")
        _require_simple(what, node, deeper)
