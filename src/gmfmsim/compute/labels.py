"""xarray, which is loaded when the first object is labelled: a question in one line needs numbers alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr
else:

    class _Later:
        """Stands for xarray until something of it is asked for."""

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module("xarray"), name)

    xr = _Later()

__all__ = ["xr"]
