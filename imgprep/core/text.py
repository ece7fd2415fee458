"""Text for messages: safe display of untrusted values, counts, ranges and suggestions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# Control characters, line and paragraph separators, and marks that change the direction of the following text.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


#: Longest text in a table or on a card. Ordinary texts are shorter; a text of megabytes would hide the rest of a page.
WHOLE = 600


def shown(value: object, limit: int = 160) -> str:
    """Return a value as short text that is safe to display.

    Examples
    --------
    >>> shown("photo\\u202egpj.exe")
    'photo⟨202E⟩gpj.exe'
    >>> shown("a" * 50 + ".jpg", limit=20)
    'aaaaaaaaaa…aaaaa.jpg'
    """
    if value is None or type(value).__name__ == "NAType" or value != value:  # noqa: PLR0124  NaN
        return ""
    text = " ".join(str(value)[: 20 * limit].split())
    text = _HIDDEN.sub(lambda found: f"⟨{ord(found[0]):04X}⟩", text)
    return text if len(text) <= limit else f"{text[: limit // 2]}…{text[limit // 2 + 1 - limit :]}"


_QUERY = re.compile(r"(?<=[\w/.])\?[^\s'\"<>]+")
#: Parts of an error that repeat the signed request and its token, as XML elements or in a printed mapping.
_SIGNED_TEXT = re.compile(
    r"<(?P<element>StringToSign|CanonicalRequest)(?P<more>\w*)>.*?(?:</(?P=element)(?P=more)>|\Z)"
    r"|(?P<key>['\"](?:StringToSign|CanonicalRequest)\w*['\"]:\s*)(?P<quote>['\"]).*?(?<!\\)(?P=quote)",
    re.DOTALL,
)
_SECRET = re.compile(
    r"((?:security[-_]?token|authorization|access[-_]?key[-_]?secret)['\"]?\s*[:=>]\s*['\"]?|signature=)[^\s'\"&<>,;\\]+",
    re.IGNORECASE,
)


def discreet(text: str) -> str:
    """Return `text` without secrets: tokens, signatures, signed text, and the queries of URLs.

    Examples
    --------
    >>> discreet("GET /reports/7?Expires=9&Signature=abc HTTP/1.1")
    'GET /reports/7?… HTTP/1.1'
    >>> discreet("x-oss-security-token:CAIS12345 was refused")
    'x-oss-security-token:… was refused'
    """
    text = _SIGNED_TEXT.sub(lambda found: f"{found['key']}'…'" if found["key"] else "", text)
    return _SECRET.sub(r"\1…", _QUERY.sub("?…", text))


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a count with its noun, singular or plural: "1 image", "2,000 images", "3 categories"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def some_of(names: Iterable[str], total: int) -> str:
    """Return the first of `total` names, and how many more there are.

    Examples
    --------
    >>> some_of(["a.jpg", "b.jpg"], 3)
    'a.jpg, b.jpg and 1 more'
    """
    known = list(names)
    return ", ".join(known) + (f" and {total - len(known):,} more" if total > len(known) else "")


def percent(share: float, decimals: int = 0) -> str:
    """Return a share as a percentage; "0%" and "100%" mean exactly none and all.

    Examples
    --------
    >>> percent(3207 / 3208, 1), percent(1 / 3208), percent(0.5)
    ('>99.9%', '<1%', '50%')
    """
    text, step = f"{share:.{decimals}%}", 10.0**-decimals
    if 0 < share < 1 and float(text[:-1]) in (0, 100):
        return f">{100 - step:.{decimals}f}%" if share > 0.5 else f"<{step:.{decimals}f}%"
    return text


def ranges(numbers: Iterable[int]) -> str:
    """Return sorted numbers with consecutive ones collapsed: "1–3, 7"."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}–{last}" for first, last in parts)


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name closest to `name`, ignoring case, or None if none is close."""
    folded = {item.casefold(): item for item in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=cutoff)
    return folded[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return "; did you mean X?" for a message about an unknown name, or an empty string."""
    near = nearest(name, known, cutoff=cutoff)
    return f"; did you mean {near}?" if near else ""


#: Spreadsheets treat a cell that starts with one of these (some full-width) as a formula. Source: OWASP, CSV Injection.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def guarded(value: object) -> object:
    """Escape a cell so that no spreadsheet treats it as a formula."""
    return "'" + value if isinstance(value, str) and _is_formula(value.lstrip("'")) else value


def unguarded(value: object) -> object:
    """Undo `guarded`: return the original cell."""
    return value[1:] if isinstance(value, str) and value.startswith("'") and _is_formula(value.lstrip("'")) else value


def _is_formula(text: str) -> bool:
    return text.lstrip(" \u00a0\u3000").startswith(FORMULA_STARTS)
