"""Text from outside, made fit to be shown: bounded, on one line, with nothing hidden in it. Templates escape it."""

from __future__ import annotations

import re

import pandas as pd

# Controls, line and paragraph ends, and the marks that turn the direction of what follows them.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def shown(value: object, limit: int = 160) -> str:
    """Return a value as a person may read it.

    Parameters
    ----------
    value : object
        Anything; NA becomes an empty text.
    limit : int
        Most characters; the middle of a longer text is left out, so that a file keeps its extension.

    Examples
    --------
    >>> shown("photo\\u202egpj.exe")
    'photo⟨202E⟩gpj.exe'
    >>> shown("a" * 50 + ".jpg", limit=20)
    'aaaaaaaaaa…aaaaa.jpg'
    """
    if value is None or value is pd.NA or value != value:  # noqa: PLR0124  NaN
        return ""
    text = " ".join(str(value)[: 20 * limit].split())
    text = _HIDDEN.sub(lambda found: f"⟨{ord(found[0]):04X}⟩", text)
    return text if len(text) <= limit else f"{text[: limit // 2]}…{text[limit // 2 + 1 - limit :]}"
