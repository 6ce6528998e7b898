"""Lagrange's cubic on points at equal steps, for loops that read tables."""

from gmfmsim.compute.compiled import compiled


@compiled
def cubic(x: float) -> tuple[float, float, float, float]:
    """Return Lagrange's weights of the points -1, 0, 1 and 2 at x."""
    return (
        -x * (x - 1) * (x - 2) / 6,
        (x + 1) * (x - 1) * (x - 2) / 2,
        -(x + 1) * x * (x - 2) / 2,
        (x + 1) * x * (x - 1) / 6,
    )
