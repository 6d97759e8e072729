"""A template costs what it may cost and no more: by steps that are counted, whatever it holds."""

import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_server.integrations.template_rules import FILTERS, STEPS_MAX, TESTS, Steps
from mcp_server.integrations.templating import filled, render
from mcp_server.kernel.errors import LimitExceeded, OpsError, ValidationFailed

BIG = "x" * 250_000
VALUES: dict[str, Any] = {
    "x": BIG,
    "items": list(range(20_000)),
    "tags": "<a>" * 80_000,
    "quotes": '"' * 50_000,
    "person": {"name": "Ann", "items": "mine", "upper": "Case"},
    "n": 9,
}
REFUSED = [
    ("{{ x|tojson(indent=250000000) }}", "tojson with arguments"),
    ("{{ x|tojson(250000000) }}", "tojson with arguments"),
    ("{{ x|tojson(**person) }}", "tojson with arguments"),
    ("{{ items|join(*items) }}", "join with arguments"),
    ("{{ n|round(1000000000) }}", "a precision"),
    ("{{ n|round(n) }}", "a precision"),
    ("{{ n|round(2, 'ceil') }}", "round with arguments"),
    ("{{ n|int(0, 2) }}", "int with arguments"),
    ("{{ x|center(9) }}", "the filter center"),
    ("{{ '%9d'|format(1) }}", "the filter format"),
    ("{{ x|safe }}", "the filter safe"),
    ("{{ items|map(attribute='a') }}", "the filter map"),
    ("{% set x = x ~ x %}", "an assignment"),
    ("{% set x %}a{% endset %}", "an assignment"),
    ("{% autoescape false %}{{ x }}{% endautoescape %}", "a switch of autoescape"),
    ("{{ range(9) }}", "a call"),
    ("{{ '{:9}'.format(1) }}", "a call"),
    ("{{ x * 9 }}", "a multiplication"),
    ("{{ 9 ** 9 }}", "a power"),
    ("{{ '%9d' % 1 }}", "the operator %"),
    ("{% macro m() %}{{ m() }}{% endmacro %}", "a macro"),
    ("{% for a in items recursive %}{% endfor %}", "a recursive loop"),
    ("{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}", "a loop 3 deep"),
    ("{% block b %}{% endblock %}", "a Block"),
    ("{% with %}{% endwith %}", "a With"),
    ("{% filter upper %}a{% endfilter %}", "a filter block"),
    ("{% if n is sameas(n) %}{% endif %}", "No test named"),
    ("{{ x.__class__ }}", "has nothing that is called"),
    ("{{ x['__class__'] }}", "has nothing that is called"),
    ("{{ items|sort(attribute='__class__') }}", "cannot be filled in|undefined|has nothing that is called|no element"),
    ("{% for a in items %}{{ loop.__init__ }}{% endfor %}", "has nothing that is called"),
    ("{{ self }}", "the name self"),
    *((f"{{{{ {opened * count}1{closed * count} }}}}", "deep") for opened, closed, count in (
        ("(", ")", 5000), ("[", "]", 3000), ("-", "", 3000), ("not ", "", 3000), ("", "+1", 500), ("", "|upper", 500),
    )),
    ("{% if n %}" * 60 + "{% endif %}" * 60, "deep"),
    ("{{ person" + ".a" * 500 + " }}", "deep"),
]  # fmt: skip
TOO_MUCH = [
    "{% for a in items %}{% for b in items %}{% endfor %}{% endfor %}",
    "{% for a in items %}" + "{{ a }}" * 500 + "{% endfor %}",
    "{% for a in items %}{% if x == x %}{% endif %}{% endfor %}",
    "{% for a in items %}{% if a in items %}{% endif %}{% endfor %}",
    "{% for a in items %}{{ x[:1] }}{% endfor %}",
    "{{ x ~ x ~ x ~ x ~ x }}",
    "{{ x" + " ~ x" * 5000 + " }}",
    "{{ (x + x) + (x + x) }}",
    "{{ items|join(x) }}",
    "{{ [x, x, x, x, x]|tojson }}",
    "{{ [x, x, x, x, x] }}",
    "{{ tags|striptags }}",
    "{{ quotes" + "|tojson" * 12 + " }}",
    "{{ x }}" * 3000,
    "{{ n }}" * 9000,
    "{{ n" + " ~ n" * 20_000 + " }}",
]


@pytest.mark.parametrize("html", [False, True])
@pytest.mark.parametrize(("source", "says"), REFUSED, ids=[source[:40] for source, _ in REFUSED])
def test_what_templates_may_not_hold_is_refused_with_its_name(source: str, says: str, html: bool):
    with pytest.raises(ValidationFailed, match=says):
        render("text", source, VALUES, html=html)


@pytest.mark.parametrize("source", TOO_MUCH, ids=[source[:40] for source in TOO_MUCH])
def test_what_would_take_too_long_or_too_much_is_stopped_before_it_does(source: str):
    for html in (False, True):
        with pytest.raises(LimitExceeded, match=r"steps|characters|words of code"):
            render("text", source, VALUES, html=html)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in part %}{{ a }}{% endfor %}",
        "{% for a in part %}{% if a in one %}{{ a ~ a }}{% endif %}{% endfor %}",
        "{{ part|join(', ') }}",
        "{{ part|tojson }}{{ part == part }}",
        "{{ part|sort(reverse=true)|unique|join }}",
    ],
)
def test_twice_as_much_costs_twice_as_many_steps(source: str):
    taken: list[int] = []
    for size in (1000, 2000, 4000):
        steps = Steps("text")
        filled(steps, source, {"part": [f"{n:05}" for n in range(size)], "one": ["00001"]}, html=False)
        taken.append(steps.taken)
    for small, large in pairwise(taken):
        assert small < large <= 2 * small + 10


ATOMS = st.sampled_from(["x", "items", "tags", "person", "n", "1", "'<b>'", "items[:9]", "person.name", "[x, x]"])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({} ~ {})".format, inner, inner),
        st.builds("({} + {})".format, inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("({} == {})".format, inner, inner),
        st.builds("{}|{}".format, inner, st.sampled_from([*FILTERS, "join(x)", "default(x)", "sort(reverse=true)"])),
        st.builds("({0} if {1} is {2} else {0})".format, inner, inner, st.sampled_from(TESTS)),
    ),
    max_leaves=12,
)  # fmt: skip
STATEMENTS = st.recursive(
    st.builds("{{{{ {} }}}}".format, EXPRESSIONS),
    lambda inner: st.one_of(
        st.builds("{{% for a in {} %}}{}{{% endfor %}}".format, EXPRESSIONS, inner),
        st.builds("{{% if {} %}}{}{{% endif %}}".format, EXPRESSIONS, inner),
        st.builds("{}{}".format, inner, inner),
    ),
    max_leaves=6,
)


@given(STATEMENTS, st.booleans())
@settings(max_examples=30, deadline=None, database=None, derandomize=True)
def test_any_template_ends_bounded_or_is_refused(source: str, html: bool):
    steps = Steps("text")
    try:
        filled(steps, source, VALUES, html=html)
    except OpsError as error:
        assert error.message
    else:
        assert steps.taken <= STEPS_MAX


@pytest.mark.parametrize(
    ("source", "becomes"),
    [
        ("Dear {{ person.name }}, {{ person['name']|upper }}", "Dear Ann, ANN"),
        ("{{ person.items }} {{ person.upper }}", "mine Case"),
        ("{% for a in items[:3] %}{{ loop.index }}{{ ', ' if not loop.last }}{% else %}none{% endfor %}", "1, 2, 3"),
        ("{% for a in [] %}{% else %}none{% endfor %}", "none"),
        ("{% if n > 3 and n is odd %}{{ n / 2 + 1 }}{% elif n %}b{% endif %}", "5.5"),
        ("{{ missing|default('-') }}{{ 2.345|round(1) }}", "-2.3"),
        ("{{ [{'a': 2}, {'a': 1}]|sort(attribute='a')|join('+', attribute='a') }}", "1+2"),
        ("{{ 'b' in 'abc' }}{{ [2, 1, 2]|unique|join }}{{ '<i>a</i>'|striptags }}", "true21a"),
        ("{% raw %}{{ x }}{% endraw %}{# gone #}{{ 'a' ~ 1 ~ 'b' }}", "{{ x }}a1b"),
    ],
)
def test_what_a_mail_needs_is_there(source: str, becomes: str):
    assert render("text", source, VALUES, html=False) == becomes


def test_html_is_escaped_wherever_a_value_comes_from():
    evil = {"evil": "<script>", "list": ["<script>"]}
    for source in ("{{ evil }}", "{{ 'a' ~ evil }}", "{{ list|join('<b>') }}", "{{ list|tojson }}", "{{ evil|upper }}",
                   "{{ evil[:9] }}", "{{ evil + evil }}", "{{ list }}", "{{ evil|e|striptags }}"):  # fmt: skip
        assert "<script" not in render("html", source, evil, html=True).lower(), source


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ x.y.z }}", 'nothing that is called "y"'),
        ("{{ nobody.y }}", '"nobody" is not among the variables given'),
        ("{% if name < 1 %}{% endif %}", "not of the kind"),
        ("{{ name + 1 }}", "not of the kind"),
        ("{{ -name }}", "not of the kind"),
        ("{% for a in n %}{% endfor %}", "not of the kind"),
        ("{% for a, b in items %}{% endfor %}", "not of the kind"),
        ("{{ n|length }}", "not of the kind"),
        ("{{ name|round(2) }}", "not of the kind"),
        ("{{ [1, name]|sort }}", "not of the kind"),
        ("{{ items[100000] }}", "nothing that is called"),
        ("{{ n / 0 }}", "divides by zero"),
    ],
)
@pytest.mark.parametrize("html", [False, True])
def test_what_goes_wrong_with_a_value_is_said_without_pythons_words(source: str, says: str, html: bool):
    values = {"x": {}, "name": "a", "n": 1, "items": [1, 2]}
    with pytest.raises(ValidationFailed, match=says) as refused:
        render("text", source, values, html=html)
    assert not re.search(r"jinja|object|attribute|NoneType|'int'|'str'|__|support|iterable", refused.value.message)


@pytest.mark.parametrize(
    "source", [r"{{ '\u0000' }}", r"{{ '\ud800' }}", r"{{ '\ud83d\ude00' }}", r"a{{ '\udfff' ~ 'b' }}"]
)
@pytest.mark.parametrize("html", [False, True])
def test_what_no_mail_can_hold_is_refused_where_a_template_makes_it(source: str, html: bool):
    with pytest.raises(ValidationFailed, match=r"The text contains a (NUL|lone surrogate)"):
        render("text", source, {}, html=html)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (True, "true"), ({"a": [1.5, None, True]}, '{"a":[1.5,null,true]}'), (["x"], '["x"]'), (2, "2")],
)
def test_values_are_shown_as_people_write_them(value: Any, shown: str):
    assert render("text", "{{ x }}", {"x": value}, html=False) == shown
    assert render("html", "{{ x }}", {"x": value}, html=True) == shown.replace('"', "&#34;")
