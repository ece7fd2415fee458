"""Unique names for copies, accepted by the service and by every file system."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection

from imgprep.core.fields import PIC_NAME_MAX

#: Format → the extension to write, then other accepted extensions.
EXTENSIONS: dict[str, tuple[str, ...]] = {
    "JPEG": ("jpg", "jpeg"),
    "MPO": ("jpg", "jpeg"),
    "PNG": ("png",),
    "WEBP": ("webp",),
    "GIF": ("gif",),
    "BMP": ("bmp",),
    "TIFF": ("tif", "tiff"),
    "PPM": ("ppm",),
}
_KNOWN = {extension for group in EXTENSIONS.values() for extension in group}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
#: Windows opens a device for these names, with any extension; a copy would be lost. Source: Microsoft, "Naming
#: Files, Paths, and Namespaces".
WINDOWS_DEVICES: tuple[str, ...] = ("con", "prn", "aux", "nul", "conin$", "conout$") + tuple(
    f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"
)
_DEVICE = re.compile(rf"(?:{'|'.join(map(re.escape, WINDOWS_DEVICES))}) *(?:\..*)?", re.IGNORECASE)


def ready_name(name: str, format_: str, *, converted: bool) -> str:
    """Return the name for a copy of image `name` in `format_`."""
    plain = _CONTROL.sub("_", name).replace("\\", "_").replace(":", "_")
    parts = [_no_device(part) for part in plain.split("/") if part not in ("", ".", "..")]
    folder, base = parts[:-1], parts[-1] if parts else "image"
    stem, dot, extension = base.rpartition(".")
    fitting = EXTENSIONS.get(format_, ())
    allowed = fitting if converted else _KNOWN
    if not dot or not stem or extension.lower() not in allowed:
        # "a.heic" loses its extension; "v2" in "a.v2" is not one.
        stem = stem if dot and stem and re.fullmatch(r"[A-Za-z][A-Za-z0-9]{1,4}", extension) else base.rstrip(".")
        base = f"{stem}.{fitting[0] if fitting else format_.lower()}"
    result = "/".join([*folder, base])
    return result if len(result) <= PIC_NAME_MAX else shortened(result)


def _no_device(part: str) -> str:
    return f"_{part}" if _DEVICE.fullmatch(part) else part


def is_windows_device(name: str) -> bool:
    """Return whether Windows would open a device or an alternate data stream for this name."""
    return ":" in name or any(_DEVICE.fullmatch(part) for part in name.replace("\\", "/").split("/"))


def shortened(name: str) -> str:
    """Return a name of at most `PIC_NAME_MAX` characters, different for every `name`."""
    stem, _, extension = name.rpartition(".")
    mark = hashlib.md5(name.encode()).hexdigest()[:8]
    return f"{stem[: PIC_NAME_MAX - len(extension) - 10]}-{mark}.{extension}"


def free_name(wanted: str, source: str, taken: Collection[str]) -> str:
    """Return `wanted`, or the first similar name that is not in `taken`."""
    if folded(wanted) not in taken:
        return wanted
    stem, _, extension = wanted.rpartition(".")
    was = source.rpartition(".")[2].lower() if "." in source.rpartition("/")[2] else "copy"
    stem = f"{stem}_{was}" if was.isalnum() else stem
    number = 1
    while True:
        name = f"{stem}.{extension}" if number == 1 else f"{stem}_{number}.{extension}"
        if folded(name) not in taken:
            return name
        number += 1


def folded(name: str) -> str:
    """Return a key that is equal for names that some file systems treat as the same file."""
    return unicodedata.normalize("NFC", name).casefold()
