"""A document as a Word file (Office Open XML), the same bytes every time."""

import io
import zipfile
from collections.abc import Sequence

from gmfmsim import __version__
from gmfmsim.report.protocol.blocks import Block, Bullets, Grid, Heading, title_of

FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The time of every part: the first that a zip file can say."""

A4, MARGIN, SMALL = (210, 297), 22, 9
"""Page and margins in millimetres; type of tables in points."""


def in_word(blocks: Sequence[Block], source: str) -> bytes:
    """Return blocks as a .docx file; their text stays text: no fields, no links.

    The file says no time and no person.
    """
    import docx  # slow to import, and seldom needed
    from docx.shared import Mm

    file = docx.Document()
    section = file.sections[0]
    section.page_width, section.page_height = map(Mm, A4)
    section.left_margin = section.right_margin = section.top_margin = section.bottom_margin = Mm(MARGIN)
    for block in blocks:
        _add(file, block)
    _described(file.core_properties, title_of(blocks), source)
    written = io.BytesIO()
    file.save(written)
    return _timeless(written)


def _add(file, block: Block) -> None:
    """Add a block to a file of python-docx."""
    if isinstance(block, Heading):
        file.add_heading(block.text, level=block.level)
    elif isinstance(block, Bullets):
        for item in block.items:
            file.add_paragraph(item, style="List Bullet")
    elif isinstance(block, Grid):
        _add_table(file, block)
    else:
        file.add_paragraph(block.text)


def _add_table(file, grid: Grid) -> None:
    """Add a table whose head is repeated on every page, and no row of which is cut by one."""
    from docx.oxml import OxmlElement
    from docx.shared import Pt

    table = file.add_table(rows=0, cols=len(grid.headings), style="Table Grid")
    for i, line in enumerate((grid.headings, *grid.rows)):
        row = table.add_row()
        for name in ("w:cantSplit", "w:tblHeader") if i == 0 else ("w:cantSplit",):
            row._tr.get_or_add_trPr().append(OxmlElement(name))
        for cell, text in zip(row.cells, line, strict=True):
            run = cell.paragraphs[0].add_run(text)
            run.font.size, run.font.bold = Pt(SMALL), i == 0
    file.add_paragraph()


def _described(properties, title: str, source: str) -> None:
    """Say what the file is, and take out what the template says of itself."""
    properties.title, properties.subject = title[:255], f"result {source}"[:255]
    properties.author = properties.last_modified_by = f"gmfmsim {__version__}"
    properties.comments = ""
    element = properties._element
    for name in ("created", "modified"):
        for stamp in element.findall(f"{{http://purl.org/dc/terms/}}{name}"):
            element.remove(stamp)


def _timeless(written: io.BytesIO) -> bytes:
    """Return a zip file with the same parts, none of which says when it was written."""
    again = io.BytesIO()
    with zipfile.ZipFile(written) as old, zipfile.ZipFile(again, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name, FIRST_DAY), old.read(name), zipfile.ZIP_DEFLATED)
    return again.getvalue()
