"""Email templates: a state document `{subject, text?, html?, variables}`, filled in inside a sandbox.

Where `variables` are declared, one that is missing or not declared is refused before anything is sent. HTML is escaped
wherever a value is put in; a template can neither call into the server nor run for long.
"""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import Field, ValidationError

from mcp_server.domain.email.commands import Content
from mcp_server.domain.email.threads import SUBJECT_CHARACTERS_MAX
from mcp_server.kernel.complaints import complaints
from mcp_server.kernel.errors import LimitExceeded, NotFound, ValidationFailed
from mcp_server.kernel.json_text import check_line
from mcp_server.kernel.near import did_you_mean, near
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.values import Frozen, Line

NAMESPACE = "email-templates"


_SHOWN = re.compile(r"\{\{-?\s*([A-Za-z_]\w*)")


_CODE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_LOOPED = re.compile(r"\{%-?\s*for\s+([\w\s,]+?)\s+in\b")
_NAMED_MAX = 10


class MailTemplate(Frozen):
    """A template as its document holds it. One that declares no variables takes any, and needs those that it uses."""

    subject: Line
    text: Content | None = None
    html: Content | None = None
    variables: tuple[Line, ...] | None = Field(default=None, max_length=64)

    def names(self) -> list[str]:
        """The variables that it declares; of one that declares none at all, those that it shows."""
        if self.variables is not None:
            return list(self.variables)
        sources = (self.subject, self.text or "", self.html or "")
        return list(dict.fromkeys(found[1] for source in sources for found in _SHOWN.finditer(source)))


class Render(Protocol):
    """Fills in one text, in a thread; `what` names it in messages. See `mcp_server.integrations.templating`."""

    def __call__(self, what: str, source: str, variables: Mapping[str, Any], *, html: bool) -> str: ...


def _nobody(what: str, source: str, variables: Mapping[str, Any], *, html: bool) -> str:
    raise AssertionError(f"nobody was told how to fill in the {what}")


@dataclass(frozen=True, slots=True)
class Rendering:
    """Who fills in templates; the composition root says."""

    render: Render = _nobody


def read_template(key: str, value: Any) -> MailTemplate:
    """The template that a document holds.

    Raises:
        ValidationFailed: it is none, or its text cannot be parsed; the message says where.
    """
    try:
        template = MailTemplate.model_validate(value)
    except ValidationError as error:
        raise ValidationFailed(
            f"The document {named(f'{NAMESPACE}/{key}')} is not an email template: {complaints(error, 5)}.",
            next="It holds {subject, text and/or html, variables: [names]}.",
        ) from None
    if template.text is None and template.html is None:
        raise ValidationFailed(f"The template {named(key)} has neither text nor html.")
    _require_used(key, template)
    return template


def no_template(key: str, known: Sequence[str], details: Mapping[str, Any]) -> NotFound:
    """The refusal of a template that there is not, with those that look like it."""
    like = near(key, known)
    have = f"There are: {', '.join(map(named, known[:_NAMED_MAX]))}. " if known and not like else ""
    return NotFound(
        f"There is no document {named(f'{NAMESPACE}/{key}')}.",
        next=f"{did_you_mean(like)}{have}state_set makes it; email_find(templates=true) lists what there is.",
        details={**details, **({"near": like} if like else {})},
    )


def _require_used(key: str, template: MailTemplate) -> None:
    """Refuse a template that declares a variable and has it only in the form of others, which nobody fills in."""
    sources = _sources(template)
    code = " ".join(found[0] for source in sources for found in _CODE.finditer(source))
    for name in _unused(template.variables or (), code):
        left = next(filter(None, map(_of_others(name).search, sources)), None)
        if left is not None:
            raise ValidationFailed(
                f"The template {named(key)} declares {quoted(name)}, and uses it nowhere: {quoted(left[0])} goes out "
                "as it stands.",
                next=f"Write {{{{{name}}}}} in its place.",
            )


def _sources(template: MailTemplate) -> list[str]:
    return [template.subject, template.text or "", template.html or ""]


def _unused(names: Iterable[str], code: str) -> list[str]:
    return [one for one in names if not re.search(rf"\b{re.escape(one)}\b", code)]


def _of_others(name: str) -> re.Pattern[str]:
    """How other templates would use a variable."""
    word = re.escape(name)
    braced = rf"\$?\{{\s*{word}\s*\}}"
    return re.compile(rf"{braced}|%\({word}\)s|%{word}%|\[{word}\]|<%=?\s*{word}\s*%>|\${word}\b")


def _undeclared(template: MailTemplate) -> list[str]:
    """What a template shows, and neither declares nor goes through."""
    sources = _sources(template)
    loops = _found(_LOOPED, sources)
    known = {*(template.variables or ()), "loop", *itertools.chain(*(re.split(r"[\s,]+", names) for names in loops))}
    return [one for one in dict.fromkeys(_found(_SHOWN, sources)) if one not in known]


def _found(pattern: re.Pattern[str], sources: Iterable[str]) -> list[str]:
    return [found[1] for source in sources for found in pattern.finditer(source)]


def _require_declared(key: str, template: MailTemplate, variables: Mapping[str, Any]) -> None:
    if template.variables is None:
        return
    missing, unknown = set(template.variables) - set(variables), set(variables) - set(template.variables)
    if missing or unknown:
        raise ValidationFailed(
            f"The template {named(key)} declares the variables {', '.join(map(quoted, template.variables)) or 'none'}: "
            + "; ".join(
                f"{', '.join(map(quoted, sorted(names)))} {what}"
                for names, what in ((missing, "not given"), (unknown, "not declared"))
                if names
            )
            + ".",
            next="Give exactly the declared variables.",
            details={"missing": sorted(missing), "unknown": sorted(unknown)},
        )


def fill_in(
    key: str, template: MailTemplate, variables: Mapping[str, Any], render: Render
) -> tuple[str, str | None, str | None]:
    """Subject, text and HTML with the variables put in.

    Raises:
        ValidationFailed: a variable is missing or not declared, or the template is wrong.
        LimitExceeded: what came out is too long.
    """
    _require_declared(key, template, variables)
    try:
        return _filled_in(key, template, variables, render)
    except ValidationFailed as error:
        lacking = [] if template.variables is None else _undeclared(template)
        if not lacking or not any(f"{quoted(one)} is not among" in error.wrong for one in lacking):
            raise
        names = " and ".join(map(quoted, lacking))
        raise ValidationFailed(
            error.wrong,
            next=f"Its `variables` must declare {names}, too: state_patch(namespace={quoted(NAMESPACE)}, "
            f"key={quoted(key)}, merge_patch={{variables: [...]}}).",
            details=error.details,
        ) from None


def _filled_in(
    key: str, template: MailTemplate, variables: Mapping[str, Any], render: Render
) -> tuple[str, str | None, str | None]:
    subject = render(f"subject of template {named(key)}", template.subject, variables, html=False)
    check_line(subject, "subject that the variables make")
    if len(subject) > SUBJECT_CHARACTERS_MAX:
        raise LimitExceeded(
            f"The subject that the variables make has {len(subject)} characters; at most {SUBJECT_CHARACTERS_MAX} go.",
            next="Give it less to repeat.",
        )
    text, html = template.text, template.html
    return (
        subject,
        None if text is None else render(f"text of template {named(key)}", text, variables, html=False),
        None if html is None else render(f"html of template {named(key)}", html, variables, html=True),
    )
