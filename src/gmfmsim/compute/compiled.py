"""How loops over trials, nodes and children are compiled: once for all files."""

import numba

compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
"""Compile a function: kept on disk, free of the interpreter's lock, and division by 0 as NumPy has it."""
