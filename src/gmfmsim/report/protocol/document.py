"""A document as a value, and the three forms in which it is written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gmfmsim.faults import Fault, InputError, shown
from gmfmsim.report.protocol.blocks import Block, texts
from gmfmsim.report.protocol.markdown import in_markdown
from gmfmsim.report.protocol.page import fragment, in_html
from gmfmsim.report.protocol.word import in_word

type Form = Literal["md", "html", "docx"]

FORMS: tuple[Form, ...] = ("md", "html", "docx")
"""Markdown, a page that stands alone, Word."""


@dataclass(frozen=True)
class Document:
    """Blocks in order, and the result that their figures are from, experiment/key. As text it is Markdown."""

    blocks: tuple[Block, ...]
    source: str

    @property
    def texts(self) -> list[str]:
        """Every text in order: headings, paragraphs, points of lists, cells."""
        return [text for block in self.blocks for text in texts(block)]

    def fragment(self, level: int = 2) -> str:
        """Return HTML to stand inside a page, the first heading of this level."""
        return fragment(self.blocks, level)

    def written(self, form: Form) -> bytes:
        """Return the bytes of a file, the same every time."""
        if form == "docx":
            return in_word(self.blocks, self.source)
        return (in_html(self.blocks, self.source) if form == "html" else str(self)).encode()

    def save(self, path: str | Path, form: Form | None = None) -> Path:
        """Write a file, in the form that the end of its name says where none is given, and return its path.

        Raises InputError for an end that says none, and where it cannot be written.
        """
        path = Path(path)
        try:
            path.write_bytes(self.written(form or form_of(None, path)))
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            problem = f"cannot be written: {getattr(error, 'strerror', None) or error}"
            raise InputError([Fault(str(path), "file", problem, "a file you may write")]) from None
        return path

    def as_json(self) -> list[dict[str, object]]:
        """Return the blocks for JSON, each with its kind: heading, paragraph, bullets, grid."""
        return [{"kind": type(block).__name__.lower()} | block._asdict() for block in self.blocks]

    def __str__(self) -> str:
        return in_markdown(self.blocks)

    def _repr_html_(self) -> str:
        return self.fragment()


def form_of(asked: str | None, path: Path | None) -> Form:
    """Return the form that is asked for, or else that of the end of a file name, or else Markdown.

    Raises InputError where neither says one that is known.
    """
    said = asked if asked is not None else "md" if path is None else path.suffix.removeprefix(".").lower()
    for known in FORMS:
        if said == known:
            return known
    where = "--format" if asked is not None else "--out"
    raise InputError([Fault("command line", where, f"{shown(said)} says no format", ", ".join(FORMS))])


def new_file(document: Document, form: Form) -> Path:
    """Return the name of a file for a document, in the folder one is in. Raises InputError where there is one."""
    path = Path(f"{document.source.partition('/')[0]}-sample-size.{form}")
    if path.exists():
        raise InputError([Fault(str(path), "file", "exists already", "another name, or this one said: --out FILE")])
    return path
