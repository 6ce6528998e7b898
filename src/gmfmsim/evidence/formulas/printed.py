"""How exactly a printed figure is known: by the places it is printed with."""

from decimal import Decimal

EPS = 1e-9


def decimals(figure: float) -> int:
    """Return the decimals a figure is printed with; trailing zeros are not known."""
    return max(0, -int(Decimal(repr(figure)).normalize().as_tuple().exponent))


def half_unit(*figures: float) -> float:
    """Return half a unit in the last place of figures that are printed alike: the finest of them counts."""
    return 0.5 * 10.0 ** -max(map(decimals, figures))


def same_figure(a: float | None, b: float | None) -> bool:
    """Return whether two prints may be one figure: equal, or one the other rounded. None is not printed."""
    if a is None or b is None:
        return True
    coarse = 0.0 if decimals(a) == decimals(b) else max(half_unit(a), half_unit(b))
    return abs(a - b) <= coarse + EPS
