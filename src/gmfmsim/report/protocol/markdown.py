"""A document as Markdown (CommonMark, tables as GitHub and pandoc read them)."""

import re
from collections.abc import Sequence

from gmfmsim.report.protocol.blocks import Block, Bullets, Grid, Heading

SPECIAL = re.compile(r"([\\`*\[\]<>|~$&^@]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=:)/(?=/)|(?<=www)\.)", re.IGNORECASE)
"""What may mean something else than itself: emphasis, code, links and addresses, HTML, tables, formulas, notes."""

LAST = re.compile(r"#(?=\s*$)")
"""What closes a heading at the end of its line."""

FIRST = re.compile(r"^([-+#=:](?=[-+#=\s]|$)|\d+(?=[.)](\s|$)))")
"""What begins a list, a heading or a rule at the start of a line."""


def in_markdown(blocks: Sequence[Block]) -> str:
    """Return blocks as Markdown; what stands in its text stays text."""
    return "\n\n".join(map(_written, blocks)) + "\n"


def escaped(text: str) -> str:
    """Return a text in which nothing is markup."""
    text = SPECIAL.sub(r"\\\1", text)
    return FIRST.sub(lambda found: f"{found[1]}\\" if found[1].isdigit() else f"\\{found[1]}", text)


def _written(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {LAST.sub(r'\#', escaped(block.text))}"
    if isinstance(block, Bullets):
        return "\n".join(f"- {escaped(item)}" for item in block.items)
    if isinstance(block, Grid):
        lines = [block.headings, ("---",) * len(block.headings), *block.rows]
        cells = [lines[1] if i == 1 else tuple(map(escaped, line)) for i, line in enumerate(lines)]
        return "\n".join(f"| {' | '.join(line)} |" for line in cells)
    return escaped(block.text)
