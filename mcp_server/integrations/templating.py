"""Jinja2 for email templates, cut down to what a mail needs: values, conditions, loops two deep and a few filters.

Nothing can be called, multiplied or formatted by a pattern, attributes are members of JSON objects, and all that is
done is counted (`template_rules`): a template can neither reach into the server nor ask for a gigabyte or a minute.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any, cast

from jinja2 import StrictUndefined, TemplateError
from jinja2.runtime import LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from mcp_server.domain.email.commands import BODY_CHARACTERS_MAX
from mcp_server.integrations.template_rules import FILTERS, REPEAT, SPEND, TESTS, Steps, charge, require_allowed
from mcp_server.kernel.errors import LimitExceeded, OpsError, ValidationFailed
from mcp_server.kernel.json_text import check_text, dump_json
from mcp_server.kernel.quoting import quoted

TOKENS_MAX = 20_000
_LOOP = frozenset(("index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem"))
_WRONG = (TemplateError, TypeError, ValueError, ArithmeticError, AttributeError, LookupError)
_TOO_DEEP = (RecursionError, SyntaxError, MemoryError)
"""What Python says of code that is nested too deep; Jinja's own errors of syntax are none of these."""


def render(what: str, source: str, variables: Mapping[str, Any], *, html: bool) -> str:
    """A text with the variables put in; escaped where it is HTML. Takes time, though not for long: call it in a thread.

    Raises:
        ValidationFailed: the template is wrong, or uses what it may not; the message names the line.
        LimitExceeded: what came out is too long, or takes too many steps.
    """
    return filled(Steps(what), source, variables, html=html)


def filled(steps: Steps, source: str, variables: Mapping[str, Any], *, html: bool) -> str:
    """The same, counting the steps that are taken."""
    try:
        return _filled(_Environment(steps, html=html), source, variables)
    except OpsError:
        raise
    except _TOO_DEEP:
        raise ValidationFailed(f"{steps.what} is nested too deep.", next="Write it with fewer parentheses.") from None
    except _WRONG as error:
        line = getattr(error, "lineno", None)
        raise ValidationFailed(
            f"{steps.what}{f', line {line},' if line else ''} cannot be filled in: {_why(error)}.",
            next="email_find(templates=true) names what each takes; email_send(dry_run=true) tries it.",
        ) from None


_KINDS = "a value is not of the kind for what is done with it: look at its sums, comparisons, loops and filters"


def _why(error: Exception) -> str:
    """What the library says of the template; what Python says of a value, in the house's words."""
    if isinstance(error, ZeroDivisionError):
        return "it divides by zero"
    return str(error)[:200] if isinstance(error, TemplateError) else _KINDS


def _as_shown(value: Any) -> Any:
    """A value as people read it: nothing for null, and what is no text or number as JSON."""
    if value is None:
        return ""
    return dump_json(value) if isinstance(value, (bool, dict, list)) else value


class _Missing(StrictUndefined):
    """What is not there, in words that know nothing of Python."""

    @property
    def _undefined_message(self) -> str:
        name = quoted(str(self._undefined_name))
        if self._undefined_obj is missing:
            return f"{name} is not among the variables given"
        return f"what stands before .{self._undefined_name} has nothing that is called {name}"


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, without all that a mail does not need."""

    def __init__(self, steps: Steps, *, html: bool) -> None:
        super().__init__(autoescape=html, undefined=_Missing, optimized=False, finalize=_as_shown)
        self.steps = steps
        self.globals.clear()
        self.filters = {name: steps.charged(name, self.filters[name]) for name in FILTERS}
        self.filters |= {SPEND: steps.spend, REPEAT: steps.repeat}
        self.tests = {name: self.tests[name] for name in TESTS}

    def getitem(self, obj: Any, argument: Any) -> Any:
        """A member of an object, or an item of a list or text; a value has nothing else."""
        if isinstance(obj, Undefined):
            str(obj)  # says that it is not there itself
        try:
            if isinstance(obj, (dict, list, tuple, str)):
                return cast("dict[Any, Any]", obj)[argument]
        except (LookupError, TypeError):
            pass
        return self.undefined(obj=obj, name=argument)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """The same; and what a loop knows of itself."""
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)


def _filled(environment: _Environment, source: str, variables: Mapping[str, Any]) -> str:
    what = environment.steps.what
    if next(islice(environment.lex(source), TOKENS_MAX, None), None) is not None:
        raise LimitExceeded(f"{what} holds more than {TOKENS_MAX} words of code.", next="Write a shorter template.")
    tree = environment.parse(source)
    require_allowed(what, tree)
    charge(tree)
    pieces, size = list[str](), 0
    for piece in environment.from_string(tree).generate(variables):
        size += len(piece)
        if size > BODY_CHARACTERS_MAX:
            raise LimitExceeded(
                f"{what} comes to over {BODY_CHARACTERS_MAX} characters.", next="Give it less to repeat."
            )
        pieces.append(piece)
    text = "".join(pieces)
    check_text(text, what.removeprefix("The "))  # a literal of the template may hold what no mail can
    return text
