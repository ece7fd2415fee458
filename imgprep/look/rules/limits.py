"""Limits for the checks: those that the service documents, by service type, and those that a shop may set."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from imgprep.core.errors import ConfigError
from imgprep.core.fields import BY_NAME, INT32_MAX, INT32_MIN, KEY_BYTES, Service
from imgprep.core.text import did_you_mean
from imgprep.images.names import EXTENSIONS

#: Image formats that the service accepts, by Pillow's names. Source: the vendor's image limits.
FORMATS: tuple[str, ...] = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
#: Pillow's name for the multi-image JPEG that cameras and phones write; the service accepts it as a JPEG.
MPO = "MPO"

#: Extension → the format it implies.
FORMAT_OF: dict[str, str] = dict(sorted((end, name) for name in FORMATS for end in EXTENSIONS[name]))

#: Limit → default. Sources: the vendor's image limits and field table; the last group is our own judgement.
DEFAULTS: dict[str, float] = {
    "image_bytes": 4_194_304,
    "side_min": 100,
    "side_max": 4096,
    "product_id_chars": BY_NAME["ProductId"].max_chars or 0,
    "pic_name_chars": BY_NAME["PicName"].max_chars or 0,
    "custom_content_chars": BY_NAME["CustomContent"].max_chars or 0,
    "str_attr_chars": BY_NAME["StrAttr"].max_chars or 0,
    "int_attr_min": INT32_MIN,
    "int_attr_max": INT32_MAX,
    "key_bytes": KEY_BYTES,
    # Bytes that the folder takes up in the key ("increment/" is 10); 0 while unknown.
    "folder_bytes": 0,
    "aspect_ratio": 4,
    # Pixels by which a region must end before its image does; `calibrate` measures whether 1 is needed.
    "region_edge": 0,
    "placeholder_products": 10,
    # Above this many rows, a rule with severity info yields one finding without a row.
    "info_rows": 1000,
    # An export is probably broken if more than this share, and at least this number, of its rows are excluded.
    "excluded_share": 0.2,
    "excluded_rows": 20,
}

#: Limits by service type. Source: the vendor's image limits ("≥ 200 and < 4096", "448 … 4096"). The other
#: types share the widest limits: no type accepts what these rule out.
BY_SERVICE: dict[Service, dict[str, float]] = {
    Service.TRADEMARK: {"side_min": 200, "side_max": 4095},
    Service.FABRIC: {"side_min": 448},
}


def service_type(name: str) -> Service:
    """Return the service type called `name`; an unknown one is `UNKNOWN`, but a misspelt known one raises."""
    if name in tuple(Service):
        return Service(name)
    if did_you_mean(str(name), tuple(Service)):
        raise ConfigError(
            f"service {name!r}: {unknown(name, tuple(Service))}; use unknown for a type that is not listed"
        )
    return Service.UNKNOWN


def limits_for(service: Service, own: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return every limit for `service`, overridden by the shop's `own` values."""
    result = {**DEFAULTS, **BY_SERVICE.get(service, {})}
    for name, value in (own or {}).items():
        if name not in result:
            raise ConfigError(f"limit {name!r}: {unknown(name, result)}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"limit {name} = {value!r}: must be a number")
        result[name] = value
    return result


def unknown(name: str, known: Collection[str]) -> str:
    """Return the end of a message about an unknown `name`: the nearest known name, then all known names."""
    return f"unknown{did_you_mean(str(name), known) or '.'} Known: {', '.join(known)}"
