"""Names of a package that are loaded when they are first used, so that importing it costs next to nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any


def load(package: str, homes: Mapping[str, str], name: str) -> Any:
    """Return what `package` calls `name`, for its module-level ``__getattr__``; the package keeps it.

    Parameters
    ----------
    package : str
        The package's own ``__name__``.
    homes : mapping of str to str
        Name → module below the package that defines it.

    Raises
    ------
    AttributeError
        The package has no such name.

    Examples
    --------
    >>> load("imgprep", {"Region": "regions"}, "Region").__name__
    'Region'
    """
    if name not in homes:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
    setattr(sys.modules[package], name, value)
    return value
