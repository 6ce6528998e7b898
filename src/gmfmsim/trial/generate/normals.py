"""Standard normal deviates in bulk, for loops over children whose time is spent drawing them."""

from functools import lru_cache

import numba
import numpy as np

compiled = numba.njit(cache=True, nogil=True, error_model="numpy")

LANES = 128
"""Generators side by side, so that the processor steps several at once."""

LAYERS, START_OF_TAIL = 256, 3.6541528853610088


def lanes(rng: np.random.Generator) -> np.ndarray:
    """Return the state (4, LANES) of SFC64 generators (Doty-Humphrey 2013), seeded by rng and run in."""
    state = rng.integers(0, 2**64, (4, LANES), np.uint64)
    state[3] = 1
    fill_bits(state, np.empty(12 * LANES, np.uint64))
    return state


@lru_cache(maxsize=1)
def ziggurat() -> tuple[np.ndarray, np.ndarray]:
    """Return edges (LAYERS + 1,) of the layers of equal area under exp(-x^2 / 2), and its height there.

    The lowest layer, with the tail beyond START_OF_TAIL, has the edge of a rectangle of its area.
    """
    from scipy import special

    edge, height = np.zeros(LAYERS + 1), np.ones(LAYERS + 1)
    edge[1], height[1] = START_OF_TAIL, np.exp(-(START_OF_TAIL**2) / 2)
    area = START_OF_TAIL * height[1] + np.sqrt(2 * np.pi) * special.ndtr(-START_OF_TAIL)
    edge[0], height[0] = area / height[1], 0.0
    for i in range(2, LAYERS):
        height[i] = height[i - 1] + area / edge[i - 1]
        edge[i] = np.sqrt(-2 * np.log(height[i]))
    return edge, height


@compiled
def fill_bits(state, out):
    """Fill out (K,) with random 64-bit integers, all lanes a step at a time."""
    for start in range(0, out.size, LANES):
        _step(state[0], state[1], state[2], state[3], out[start : start + LANES])


@compiled
def _step(a, b, c, count, out):
    """Step the first out.size lanes."""
    for i in range(out.size):
        x = a[i] + b[i] + count[i]
        count[i] += np.uint64(1)
        a[i] = b[i] ^ (b[i] >> np.uint64(11))
        b[i] = c[i] + (c[i] << np.uint64(3))
        c[i] = ((c[i] << np.uint64(24)) | (c[i] >> np.uint64(40))) + x
        out[i] = x


@compiled
def fill_normals(bits, out, edge, height, rng):
    """Fill out (K,) with standard normal deviates from random bits (K,), by Marsaglia & Tsang's ziggurat (2000).

    One in 80 needs more than its own 64 bits, and takes it from rng.
    """
    for k in range(out.size):
        layer = bits[k] & np.uint64(LAYERS - 1)
        x = (np.int64(bits[k]) >> 11) * 2.0**-52 * edge[layer]
        out[k] = x if abs(x) < edge[layer + np.uint64(1)] else _outside(x, layer, edge, height, rng)


@compiled
def _outside(x, layer, edge, height, rng):
    """Return the deviate where the layer's own rectangle does not decide: in its wedge, in the tail, or drawn anew."""
    if layer == 0:
        while True:
            beyond = -np.log1p(-rng.random()) / START_OF_TAIL
            if -2 * np.log1p(-rng.random()) > beyond * beyond:
                return np.copysign(START_OF_TAIL + beyond, x)
    y = height[layer] + rng.random() * (height[layer + np.uint64(1)] - height[layer])
    return x if y < np.exp(-x * x / 2) else rng.standard_normal()
