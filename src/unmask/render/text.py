"""Text from outside (file names, metadata) made safe to print, and cut to a width."""

from __future__ import annotations

import unicodedata

# Besides control characters: what turns the direction of the text around and so makes one name look like another.
_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    """Replace everything that could move the cursor, end the line or reverse the text by a backslash escape.

    A name such as ``a\\x1b[2Jb`` could otherwise clear the terminal or forge a line of output.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(c) if _is_unsafe(c) else c for c in text)


def _is_unsafe(char: str) -> bool:
    # Cc control, Cs half of a surrogate pair, Cn unassigned, Co private, Zl and Zp line and paragraph separators
    return unicodedata.category(char) in ("Cc", "Cs", "Cn", "Co", "Zl", "Zp") or char in _BIDIRECTIONAL


def _escaped(char: str) -> str:
    code = ord(char)
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    if char in named:
        return named[char]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""First characters by which spreadsheets take a cell for a formula, some of them also in their wide form."""


def no_formula(text: str, guard: str = "'") -> str:
    """A cell of a table that no spreadsheet runs: text that begins as a formula does gets a mark before it.

    Args:
        text: Text from outside.
        guard: The mark: an apostrophe, which spreadsheets themselves use; for paths ``./``, which names the same file.
    """
    return f"{guard}{text}" if text.startswith(_FORMULA) else text


def cell_width(text: str) -> int:
    """Columns that ``text`` takes in a terminal."""
    from rich.cells import cell_len

    return cell_len(text)


def shorten(text: str, width: int) -> str:
    """Cut the middle out of ``text`` so that it takes at most ``width`` columns; more is kept of its end (the name)."""
    if cell_width(text) <= width:
        return text
    if width <= 1:
        return "…"[:width]
    tail_room = (width - 1) * 2 // 3
    head, tail = "", ""
    for char in reversed(text):
        if cell_width(char + tail) > tail_room:
            break
        tail = char + tail
    for char in text:
        if cell_width(head + char) + 1 + cell_width(tail) > width:
            break
        head += char
    return f"{head}…{tail}"
