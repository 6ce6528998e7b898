"""The one way in which loops are compiled: cached, without the interpreter's lock, division by zero as in NumPy."""

import numba

compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
