"""Facts about increment.meta and the service: fields, limits, categories, and service types.

The codec, the checks and the docs derive from the table of fields. Its order is canonical, both on the wire and for
the columns of every frame. Sources: ``guide`` is the vendor's page "add and delete images in batches"; ``filters`` is
the vendor's page on filter conditions, whose example of a batch line has more than two attributes; ``api`` is the
AddImage reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Operation(StrEnum):
    """Operation that a line requests."""

    ADD = "ADD"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an increment.meta line."""

    name: str  #: as spelled on the wire and in every frame
    kind: Literal["string", "integer", "boolean"]  #: its JSON type
    required: frozenset[Operation]  #: operations whose lines must have the field
    meaning: str  #: one-line description for the docs
    source: str  #: source of the field's rules
    max_chars: int | None = None  #: limit in characters (Unicode code points), strings only
    minimum: int | None = None
    maximum: int | None = None  #: inclusive bounds, integers only

    @property
    def dtype(self) -> str:
        """The pandas dtype of this field's column in a batch frame."""
        return {"string": "str", "integer": "Int64", "boolean": "boolean"}[self.kind]


_BOTH = frozenset(Operation)
_ADD = frozenset({Operation.ADD})
_NEVER: frozenset[Operation] = frozenset()

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
PRODUCT_ID_MAX = 256
PIC_NAME_MAX = 256
CUSTOM_CONTENT_MAX = 4096
STR_ATTR_MAX = 128

#: Attributes that searches can filter by: integers, then strings.
INT_ATTRS: tuple[str, ...] = ("IntAttr", "IntAttr2", "IntAttr3", "IntAttr4")
STR_ATTRS: tuple[str, ...] = ("StrAttr", "StrAttr2", "StrAttr3", "StrAttr4")
ATTRIBUTES: tuple[str, ...] = (*INT_ATTRS, *STR_ATTRS)


def _attribute(name: str) -> Field:
    integer = name in INT_ATTRS
    return Field(
        name,
        "integer" if integer else "string",
        _NEVER,
        "an integer for search filters" if integer else "a string for search filters",
        ("guide" if name in ("IntAttr", "StrAttr") else "filters") + ("; range: api" if integer else "; length: api"),
        max_chars=None if integer else STR_ATTR_MAX,
        minimum=INT32_MIN if integer else None,
        maximum=INT32_MAX if integer else None,
    )


FIELDS: tuple[Field, ...] = (
    Field("OperationType", "string", _BOTH, "ADD or DELETE", "guide"),
    Field("ProductId", "string", _BOTH, "the product's id", "guide; length: api", max_chars=PRODUCT_ID_MAX),
    Field(
        "PicName",
        "string",
        _ADD,
        "the image's name below the task's path; a DELETE without it removes the whole product",
        "guide; length: api",
        max_chars=PIC_NAME_MAX,
    ),
    Field("CategoryId", "integer", _NEVER, "the category, from the category reference", "guide", minimum=0),
    *map(_attribute, ATTRIBUTES),
    Field("CustomContent", "string", _ADD, "returned with search results", "guide", max_chars=CUSTOM_CONTENT_MAX),
    Field("Crop", "boolean", _NEVER, "false: search by the whole image, not by a recognised subject", "guide"),
    Field("Region", "string", _NEVER, "the subject: x1,x2,y1,y2 in pixels; Crop then has no effect", "guide"),
)

#: Name of the object that lists the lines of a batch; it is stored beside the images.
META_NAME = "increment.meta"
#: Longest object key, in UTF-8 bytes. Source: OSS, object naming.
KEY_BYTES = 1023
#: Tables in a batch folder, also kept in its run folder; ``.parquet`` is appended to each name.
TABLES = ("batch", "catalogue", "facts", "source_facts", "findings", "excluded", "prepare")

FIELD_NAMES: tuple[str, ...] = tuple(field.name for field in FIELDS)
#: Fields that are not part of a line's identity: the data that an ADD stores about its image.
PAYLOAD: tuple[str, ...] = tuple(name for name in FIELD_NAMES if name not in ("OperationType", "ProductId", "PicName"))
BY_NAME: dict[str, Field] = {field.name: field for field in FIELDS}

#: Categories for product image search, by id. Source: the vendor's category reference page.
CATEGORIES: dict[int, str] = {
    0: "Tops",
    1: "Dress",
    2: "Bottoms",
    3: "Bag",
    4: "Shoes",
    5: "Accessories",
    6: "Snacks",
    7: "Makeup",
    8: "Bottle drink",
    9: "Furniture",
    20: "Toy",
    21: "Underwear",
    22: "Digital device",
    88888888: "Others",
}

#: The category that the service stores for every image, unless its type is product search. Source: guide.
FORCED_CATEGORY = 88888888
#: What a CategoryId requires of the search code. Source: "important" note on the vendor's page on adding images.
SEARCH_CATEGORY = (
    "a category set when adding an image must also be set when searching, or a search with the same image does not "
    "find it"
)


class Service(StrEnum):
    """Service type of an instance; image limits and the category rule depend on it."""

    PRODUCT = "product"
    GENERIC = "generic"
    FURNITURE = "furniture"
    HARDWARE = "hardware"
    FABRIC = "fabric"
    TRADEMARK = "trademark"
    COPYRIGHT = "copyright"
    """Copyright search; its image limits are undocumented."""
    MULTIMODAL = "multimodal"
    """Product multimodal search; its number, its image limits and how it treats categories are undocumented."""
    UNKNOWN = "unknown"
    """Any other type; only the rules that all types share are checked."""


#: Service types that store `FORCED_CATEGORY` regardless of a line's CategoryId.
FORCING: frozenset[Service] = frozenset(Service) - {Service.PRODUCT, Service.MULTIMODAL, Service.UNKNOWN}

#: ``ServiceType`` values in the response to Detail. Source: api.
SERVICE_TYPES: dict[int, str] = {
    0: "product",
    1: "generic",
    2: "fabric",
    3: "trademark",
    4: "copyright",
    5: "furniture",
    6: "hardware",
    7: "trademark",
}
