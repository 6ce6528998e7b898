"""Names that look alike and are not the same: a person sees one study where a file holds two."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from gmfmsim.evidence.sheets.told import Told, at_rows, cut
from gmfmsim.faults import Fault, shown

_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"), "-")
_QUOTES = dict.fromkeys(map(ord, "\u2018\u2019\u02bc\u00b4"), "'") | dict.fromkeys(map(ord, "\u201c\u201d"), '"')
# Cyrillic and Greek letters that are drawn as Latin ones
_LETTERS = str.maketrans(
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0430\u0435\u043e\u0440\u0441\u0443\u0445"
    "\u0456\u0455\u0458\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf",
    "ABEKMHOPCTXaeopcyxisjABEZHIKMNOPTYXo",
)

_SAME = {
    "spaces": lambda text: " ".join(text.split()),
    "accents, in one character or in two": lambda text: unicodedata.normalize("NFC", text),
    "dashes": lambda text: text.translate(_DASHES),
    "quotation marks": lambda text: text.translate(_QUOTES),
    "characters without width": lambda text: "".join(c for c in text if unicodedata.category(c) != "Cf"),
    "letters of two alphabets": lambda text: text.translate(_LETTERS),
}
"""What makes two names look alike, and what takes the difference away."""


def seen(name: str) -> str:
    """Return a name as it is seen: the same for all that look alike."""
    for same in () if name.isascii() else _SAME.values():
        name = same(name)
    return " ".join(name.split())


def plain(name: str) -> str:
    """Return a name without what two hands write differently: case, accents, spaces, stops, brackets, "et al."."""
    letters = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)).casefold()
    return re.sub(r"\bet al\b|[\s_.,;:()'-]", "", letters)


def difference(first: str, second: str) -> str:
    """Say in what two names differ that look alike, and how each is spelled."""
    causes = [words for words, same in _SAME.items() if same(first) == same(second)]
    return f"{causes[0] if causes else 'several marks'}: {cut(ascii(first))}, {cut(ascii(second))}"


def look_alike(file: str, rows: Iterable[Mapping], columns: tuple[str, ...]) -> Iterator[Told]:
    """Tell every name that stands in several spellings which look alike.

    The name is that in the last of the columns, and those before it say whose it is; no columns have no name.
    """
    found: dict[tuple, dict[str, list[int]]] = defaultdict(dict)
    for row in rows:
        if columns and None not in (row[c] for c in columns):
            spellings = found[tuple(seen(row[c]) for c in columns)]
            spellings.setdefault(row[columns[-1]], []).append(row["row"])
    for spellings in found.values():
        if len(spellings) > 1:
            (first, mine), (second, theirs), *_ = spellings.items()
            problem = f"{columns[-1]} {shown(first)} has spellings that look alike and differ in "
            problem += difference(first, second)
            allowed = "one spelling of a name: copy it from one row into the others"
            spoiled = tuple(sorted(n for lines in spellings.values() for n in lines))
            yield Told(Fault(file, at_rows([mine[0], theirs[0]]), problem, allowed), spoiled)
