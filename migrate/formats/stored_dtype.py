"""Dtypes as files spell them: as in NumPy (`<f4`), or by a name that ml_dtypes and TensorStore share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from migrate import dtypes

if TYPE_CHECKING:
    import numpy as np

_PLAIN = re.compile(r"[<>|=]?[A-Za-z][A-Za-z0-9_]*")


class UnknownDtypeError(ValueError):
    """An array has a dtype that no leaf can have."""


def stored_dtype(text: object) -> np.dtype[Any]:
    """Returns the NumPy dtype of the bytes in the file, byte order included.

    Structures, which NumPy would parse as Python, and objects, which would have to be unpickled, are refused.

    Raises:
      UnknownDtypeError: no leaf can have this dtype.
    """
    import numpy as np

    if not isinstance(text, str) or _PLAIN.fullmatch(text) is None:
        raise UnknownDtypeError(str(text))
    if dtypes.is_name(text):
        return dtypes.to_numpy(text)
    try:
        dtype = np.dtype(text)
        dtypes.from_numpy(dtype)
    except (KeyError, TypeError, ValueError) as error:
        raise UnknownDtypeError(text) from error
    return dtype
