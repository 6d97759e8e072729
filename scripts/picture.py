#!/usr/bin/env python3
"""docs/desk.svg, the picture at the top of the README.

python scripts/picture.py    draw it anew; a test sees whether that is due
"""

from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "desk.svg"
WIDTH, HEIGHT = 860, 330
CLIENTS = ("Claude Code", "Cursor", "VS Code", "a script")
AREAS = ("agents", "tasks", "state and locks", "messages", "approvals", "mail", "deployments")
STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1f2430; text-anchor: middle }
.small { font-size: 12px; fill: #5b6475 }
.box { fill: #f4f6fa; stroke: #b8c1d1 }
.desk { fill: #e6f0ff; stroke: #4a7fd6 }
.line { stroke: #7d889c; fill: none; marker-end: url(#tip) }
.tip { fill: #7d889c }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e9f0 } .small { fill: #a3adc0 } .box { fill: #232936; stroke: #4a5468 }
  .desk { fill: #1d2f4f; stroke: #6b9bea } .line { stroke: #8c97ab } .tip { fill: #8c97ab }
}
"""


def box(x: float, y: float, width: float, height: float, words: str, *, kind: str = "box", below: str = "") -> str:
    """A rounded box with its words in the middle, and small ones below them."""
    middle, line = x + width / 2, y + height / 2 + (-3 if below else 5)
    small = f'<text class="small" x="{middle:g}" y="{line + 18:g}">{escape(below)}</text>' if below else ""
    return (
        f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8"/>'
        f'<text x="{middle:g}" y="{line:g}">{escape(words)}</text>{small}'
    )


def line(*points: tuple[float, float]) -> str:
    """An arrow."""
    return f'<polyline class="line" points="{" ".join(f"{x:g},{y:g}" for x, y in points)}"/>'


def parts() -> Iterator[str]:
    """What is on the picture, from left to right."""
    for place, client in enumerate(CLIENTS):
        y = 24 + place * 74
        yield box(16, y, 130, 52, client)
        yield box(206, y, 130, 52, "server", below="stdio or HTTP")
        yield line((146, y + 26), (202, y + 26))
        yield line((336, y + 26), (366, y + 26), (366, 161), (392, 161))
    yield box(396, 24, 220, 274, "", kind="desk")
    yield '<text x="506" y="48">one desk, one database</text>'
    for place, area in enumerate(AREAS):
        yield box(416, 60 + place * 28, 180, 22, area)
    yield '<text class="small" x="506" y="272">every change one event, in order</text>'
    yield '<text class="small" x="506" y="288">SQLite, or PostgreSQL</text>'
    for place, (words, below) in enumerate(
        (("people", "approve, answer, read"), ("mail", "sent once"), ("Workers, services", "as planned"))
    ):
        y = 40 + place * 90
        yield box(676, y, 168, 60, words, below=below)
        yield line((616, y + 30), (672, y + 30))


def picture() -> str:
    """The whole picture."""
    label = (
        "Several clients, each with its own server, work on one desk; people, mail and services are reached through it."
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">',
            f"<style>{STYLE}</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>',
            *parts(),
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(picture())
