"""Lines of styled text as one SVG file, without fonts or scripts from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape

from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

COLUMN, ROW, MARGIN = 8.4, 19, 16  # pixels
FONT = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"
PAPER, INK, FAINT = "#fdfcf8", "#22252a", "#8a8f98"
THEME = TerminalTheme(
    (0xFD, 0xFC, 0xF8),
    (0x22, 0x25, 0x2A),
    [
        (0x22, 0x25, 0x2A),
        (0xD6, 0x54, 0x4D),
        (0x7F, 0xBC, 0x6E),
        (0xE5, 0xB3, 0x55),
        (0x4D, 0x7F, 0xCE),
        (0xB8, 0x8F, 0xD4),
        (0x6A, 0xC0, 0xC0),
        (0xE9, 0xE7, 0xE0),
    ],
)


def render(lines: Iterable[Text], title: str) -> str:
    """The lines as the text of an SVG document; `title` is what a screen reader says."""
    rows = list(lines)
    width = max((cell_len(row.plain) for row in rows), default=0) * COLUMN + 2 * MARGIN
    height = len(rows) * ROW + 2 * MARGIN
    marks = [mark for number, row in enumerate(rows) for mark in _row(row, MARGIN + number * ROW)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
        f'height="{height}" role="img" font-family="{escape(FONT)}" font-size="14" xml:space="preserve">'
    )
    paper = f'<rect width="100%" height="100%" fill="{PAPER}" rx="6"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", paper, *marks, "</svg>", ""])


def _row(row: Text, top: float) -> Iterator[str]:
    left = float(MARGIN)
    for text, style in _segments(row):
        width = cell_len(text) * COLUMN
        if style.bgcolor:
            box = f'x="{left:.1f}" y="{top}" width="{width:.1f}" height="{ROW - 1}"'
            yield f'<rect {box} fill="{_hex(style.bgcolor)}"/>'
        if text.strip():
            weight = ' font-weight="bold"' if style.bold else ""
            yield (
                f'<text x="{left:.1f}" y="{top + ROW - 5}" textLength="{width:.1f}" fill="{_ink(style)}"{weight}>'
                f"{escape(text)}</text>"
            )
        left += width


def _segments(row: Text) -> Iterator[tuple[str, Style]]:
    console = Console(width=10_000, color_system="truecolor", force_terminal=True, no_color=False)
    for segment in Segment.filter_control(Text.assemble(row).render(console)):
        yield segment.text, segment.style or Style.null()


def _ink(style: Style) -> str:
    if style.color:
        return _hex(style.color)
    return FAINT if style.dim else INK


def _hex(color: Color) -> str:
    return color.get_truecolor(THEME).hex
