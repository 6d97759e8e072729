"""Pages come from templates: what is shown is escaped, what is missing is an error, and no markup hides in Python."""

import ast
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from mcp_server.domain.approvals.answers import Answer
from mcp_server.pages.rendering import render, static_text

ROOT = Path(__file__).parent.parent.parent
PAGES = ROOT / "mcp_server" / "pages"
HOSTILE = """x"'><script>alert(1)</script><img src=x onerror=y> & {{ 7 * 7 }} {% raw %} </style></textarea>"""


class Read(HTMLParser):
    """What a browser makes of a page: its tags with their attributes' names, and its texts and attributes' values."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags = list[tuple[str, tuple[str, ...]]]()
        self.texts = list[str]()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.texts += [value or "" for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def approval_page(text: str, *, is_open: bool) -> Read:
    """The approval page with `text` wherever somebody's words are shown."""
    return Read(
        render(
            "approval.html",
            **dict.fromkeys(("title", "approver", "question", "words", "seen"), text),
            answers=[Answer(by=text, granted=True, via=text, at=text, note=text, choice=text)],
            expires_at="2027-01-15T08:00:00.000Z",
            is_open=is_open,
            choices=[text],
            free_text=True,
            reason_characters_max=1000,
            text_characters_max=1000,
        )
    )


@pytest.mark.parametrize(("is_open", "fields"), [(True, 6), (False, 9)], ids=["open", "decided"])
def test_hostile_text_in_any_field_of_the_approval_page_stays_text(is_open: bool, fields: int):
    page = approval_page(HOSTILE, is_open=is_open)
    assert page.tags == approval_page("harmless", is_open=is_open).tags
    assert "".join(page.texts).count(HOSTILE) == fields


def test_hostile_text_in_a_notice_stays_text():
    page = Read(render("notice.html", title=HOSTILE, text=HOSTILE))
    assert page.tags == Read(render("notice.html", title="harmless", text="harmless")).tags
    assert "".join(page.texts).count(HOSTILE) == 3


def test_a_value_that_is_missing_is_an_error_and_not_an_empty_place():
    with pytest.raises(UndefinedError, match="text"):
        render("notice.html", title="Refused")


def test_the_style_is_in_the_page_exactly_as_it_was_hashed():
    assert f"<style>{static_text('approval.css')}</style>" in render("notice.html", title="a", text="b")


def test_importing_the_pages_does_not_import_jinja():
    probe = "import sys, mcp_server.pages.approval, mcp_server.pages.webhooks; print('jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.stdout.strip() == "False", done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted(PAGES.glob("*.py")), ids=lambda path: path.stem)
def test_no_markup_hides_in_a_module_of_the_pages(path: Path):
    texts = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
    assert not [node.lineno for node in texts if isinstance(node.value, str) and "<" in node.value]
