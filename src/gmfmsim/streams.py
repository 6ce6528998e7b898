"""Random streams with an address: the same address gives the same numbers, whoever asks and when."""

import zlib

import numpy as np


def seed_sequence(seed: int, purpose: str, block: int = 0) -> np.random.SeedSequence:
    """Return the seed sequence at address (seed, purpose, block).

    The address replaces consumption: serial, parallel and resumed runs draw the same numbers, and more
    blocks extend a run without changing the earlier ones.
    """
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(purpose.encode()), block))


def stream(seed: int, purpose: str, block: int = 0) -> np.random.Generator:
    """Return a generator (SFC64) that starts at address (seed, purpose, block)."""
    return np.random.Generator(np.random.SFC64(seed_sequence(seed, purpose, block)))


def integer_seed(seed: int, purpose: str) -> int:
    """Return a 31-bit integer for libraries that take a seed and no generator."""
    return int(seed_sequence(seed, purpose).generate_state(1)[0] >> 1)
