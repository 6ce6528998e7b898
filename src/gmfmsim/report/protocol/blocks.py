"""What a document is made of, before anything says how it looks: plain text, no part of which is markup."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Heading(NamedTuple):
    """A heading of level 1 (that of the document), 2, ..."""

    level: int
    text: str


class Paragraph(NamedTuple):
    """A paragraph."""

    text: str


class Bullets(NamedTuple):
    """Points of a list without order."""

    items: tuple[str, ...]


class Grid(NamedTuple):
    """A table: its headings, and rows of as many cells."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


type Block = Heading | Paragraph | Bullets | Grid


def texts(block: Block) -> tuple[str, ...]:
    """Return every text of a block in order."""
    if isinstance(block, Grid):
        return (*block.headings, *(cell for row in block.rows for cell in row))
    return block.items if isinstance(block, Bullets) else (block.text,)


def title_of(blocks: Sequence[Block]) -> str:
    """Return the first heading."""
    return next(block.text for block in blocks if isinstance(block, Heading))


def heading(level: int, text: str) -> Heading:
    """Return a heading of plain text."""
    return Heading(level, plain_text(text))


def paragraph(*sentences: str) -> Paragraph:
    """Return a paragraph of sentences; empty ones are left out."""
    return Paragraph(plain_text(" ".join(filter(None, sentences))))


def bullets(items: Iterable[str]) -> Bullets:
    """Return a list; empty items are left out."""
    return Bullets(tuple(plain_text(item) for item in items if item))


def grid(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> Grid:
    """Return a table."""
    return Grid(tuple(headings), tuple(tuple(plain_text(cell) for cell in row) for row in rows))


def plain_text(text: str) -> str:
    """Return a text on one line that every format can hold: blanks single, signs that no file may hold replaced.

    Marks that turn the direction of what follows are taken out: they would turn the sentences of others.
    """
    return " ".join("".join(map(_sign, text)).split())


def _sign(sign: str) -> str:
    code, kind = ord(sign), unicodedata.category(sign)
    if kind == "Cc":
        return " "
    if kind == "Cs" or code & 0xFFFE == 0xFFFE:  # half a character, or none: XML has neither
        return "\ufffd"
    return "" if code in TURNING else sign


TURNING = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
"""Embeddings, overrides and isolates of a direction, and their ends."""
