"""A document as HTML: a part of a page, or a page that stands alone."""

from collections.abc import Sequence

from gmfmsim.report.protocol.blocks import Block, title_of


def fragment(blocks: Sequence[Block], level: int = 1) -> str:
    """Return blocks as HTML to stand inside a page, their first heading of this level; text is escaped."""
    return _filled("protocol/section.html.j2", blocks=_named(blocks), level=level)


def in_html(blocks: Sequence[Block], source: str) -> str:
    """Return blocks as a page: one file, no scripts, nothing from elsewhere."""
    return _filled("protocol/page.html.j2", blocks=_named(blocks), level=1, title=title_of(blocks), source=source)


def _named(blocks: Sequence[Block]) -> list[tuple[str, Block]]:
    """Return blocks with their kinds: heading, paragraph, bullets, grid."""
    return [(type(block).__name__.lower(), block) for block in blocks]


def _filled(template: str, **values: object) -> str:
    from gmfmsim.report.html import filled  # brings matplotlib, which no other form needs

    return filled(template, **values)
