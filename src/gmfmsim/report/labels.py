"""Names as a user wrote them, as a figure can show them; a name that it cannot show gets a number and a key.

Figures are set in DejaVu Sans, which comes with matplotlib, on every machine alike: with the fonts of the machine, the
bytes of a result would differ. It sets one character after another from left to right, so it has no signs for Chinese
and no way to write Arabic. A page has both: there the key stands, below the figure.
"""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from matplotlib import font_manager
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from gmfmsim.faults import shortened

FONT = "DejaVu Sans"


@dataclass(frozen=True)
class Labels:
    """The label of each name, and those that do not say the name by themselves, with what they stand for."""

    of: dict[str, str]
    keyed: dict[str, str]

    @property
    def key(self) -> str:
        """The key in words, to stand below the figure; empty where every label is its name or a part of it."""
        # marks that set a name in its own direction, whatever stands around it
        return "; ".join(f"{label} \u2068{name}\u2069" for label, name in self.keyed.items())


def with_key(caption: str, *used: Labels) -> str:
    """Return the caption of a figure with the key to its labels."""
    keys = [one.key for one in used if one.key]
    return f"{caption} {'; '.join(keys)}." if keys else caption


def labels(names: Iterable[str], points: float, size: float, *, bold: bool = False) -> Labels:
    """Return labels for names, each different, at most about `points` wide in type of `size` points.

    A name that the font cannot set becomes its number among the names, in brackets; a long one is shortened in its
    middle; one that then looks like another gets its number too.
    """
    of, keyed = {}, {}
    for i, name in enumerate(dict.fromkeys(names), 1):
        label = fitted(name, points, size, bold=bold) if can_be_set(name) else ""
        if not label or label in of.values():
            label = f"{label} [{i}]".strip()
            keyed[label] = name
        of[name] = label
    return Labels(of, keyed)


def can_be_set(text: str) -> bool:
    """Return whether figures can show a text: signs in the font, from left to right, none that joins another."""
    return all(
        ord(c) in _signs()
        and unicodedata.category(c)[0] not in "CM"
        and unicodedata.bidirectional(c) not in ("R", "AL", "AN")
        for c in _plain(text)
    )


def fitted(text: str, points: float, size: float, *, bold: bool = False) -> str:
    """Return a text on one line, shortened in its middle to `points` in type of `size` points."""
    text = _plain(text)
    most = int(8 * points / size)  # hardly a sign is narrower than an eighth of the size
    if len(text) <= most and width(text, size, bold=bold) <= points:
        return text
    lengths = range(8, min(len(text), most))
    fitting = bisect_right(lengths, points, key=lambda cut: width(shortened(text, cut), size, bold=bold))
    return shortened(text, lengths[max(0, fitting - 1)]) if lengths else text


def line(label: str, rest: str, points: float, size: float) -> str:
    """Return a label and what is said of it on one line of at most `points`; the label gives way."""
    return fitted(label, points - width(rest, size), size) + rest


def width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of a text in points, in the font of the figures at `size` points."""
    font = FontProperties(family=FONT, size=size, weight="bold" if bold else "normal")
    return text_to_path.get_text_width_height_descent(text, font, False)[0]


def _plain(text: str) -> str:
    """Return a text with composed letters, its blanks and line ends single blanks."""
    return " ".join(unicodedata.normalize("NFC", text).split())


@cache
def _signs() -> frozenset[int]:
    """Return what the font has a sign for, in both weights that figures use."""
    fonts = (font_manager.findfont(FontProperties(family=FONT, weight=weight)) for weight in ("normal", "bold"))
    first, second = (frozenset(font_manager.get_font(font).get_charmap()) for font in fonts)
    return first & second
