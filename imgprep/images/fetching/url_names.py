"""PicNames for images that the catalogue names by URL."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

#: Query parameters that say which version of a picture is meant, not which picture.
VERSION_PARAMETERS = frozenset({"v", "ver", "version", "t", "ts", "timestamp", "_", "cb", "rev", "updated"})
#: Hex digits of the suffix: 40 bits, so that a million names of one stem collide with a chance below one half.
SUFFIX_DIGITS = 10
STEM_CHARS = 80

_EXTENSION = re.compile(r"\.(jpe?g|png|gif|webp|bmp|tiff?|heic|heif|avif|ppm|jfif)$", re.IGNORECASE)
_URL = re.compile(r"^(?:https?:)?//[^/\s]", re.IGNORECASE)


def is_url(text: str) -> bool:
    """Whether `text` names an image by URL (``https://…``, ``http://…``, ``//host/…``)."""
    return bool(_URL.match(text))


def picture_url(url: str) -> str:
    """Return what identifies the picture behind `url`: scheme and version parameters left out, host in lower case.

    Examples
    --------
    >>> picture_url("https://CDN.example.com/a.jpg?v=1623104890")
    '//cdn.example.com/a.jpg'
    """
    try:
        parts = urlsplit(url.strip() if "//" in url[:8] else "//" + url.strip())
    except ValueError:  # a bracket out of place; whoever fetches it will be told
        return "//" + url.strip().partition("//")[2]
    query = urlencode(
        [
            (name, value)
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
            if name.lower() not in VERSION_PARAMETERS
        ]
    )
    return f"//{parts.netloc.lower()}{unquote(parts.path)}" + (f"?{query}" if query else "")


def pic_name_for_url(url: str) -> str:
    """Return the PicName of the image at `url`: readable, always the same, different for different pictures.

    The name is the last part of the path, with whatever is no letter, digit, ``.``, ``_`` or ``-`` replaced, and a
    short hash of the whole address. The hash is always there: were it only added where two names collide, a picture
    that comes next week would rename one that is in the gallery. Parameters that only mark a version (``?v=…``) do
    not count: a new version is the same picture with other bytes.

    Parameters
    ----------
    url : str
        ``http``, ``https`` or without scheme (``//host/path``).

    Returns
    -------
    str
        At most 100 characters; the extension is the URL's in lower case, ``.jpg`` where it has none.

    Examples
    --------
    >>> pic_name_for_url("https://cdn.example.com/2024/05/t-shirt%20green.png?v=162")
    't-shirt-green-7c271e8b94.png'
    """
    identity = picture_url(url)
    path = identity.partition("?")[0][2:]
    base = unicodedata.normalize("NFC", path.rstrip("/").rpartition("/")[2])
    found = _EXTENSION.search(base)
    extension = found[0].lower() if found else ".jpg"
    stem = base[: found.start()] if found else base
    stem = re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:STEM_CHARS] or "image"
    digest = hashlib.md5(identity.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    return f"{stem}-{digest[:SUFFIX_DIGITS]}{extension}"
