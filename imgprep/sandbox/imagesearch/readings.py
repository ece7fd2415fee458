"""Service types, error codes for rows, and the points that the vendor leaves open, each with two readings.

A batch that passes under both readings does not depend on undocumented behaviour. Sources: "open" = searched for but
not documented; "weak" = one secondary source; "conflict" = the vendor's pages contradict each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

OTHERS = 88888888

#: Categories of a product instance. Source: the vendor's category reference page.
CATEGORY_NAMES = {
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
    OTHERS: "Others",
}
#: Category ids that a product instance accepts.
CATEGORIES = frozenset(CATEGORY_NAMES)


class ServiceType(IntEnum):
    """The values of ServiceType in the response from Detail."""

    PRODUCT = 0
    GENERIC = 1
    FABRIC = 2
    TRADEMARK = 3
    COPYRIGHT = 4
    FURNITURE = 5
    HARDWARE = 6
    TRADEMARK_TOO = 7

    @property
    def label(self) -> str:
        """The name used in settings; trademark search has two numbers but one name."""
        return self.name.lower().removesuffix("_too")

    @property
    def sides(self) -> tuple[int, int]:
        """Minimum and maximum side of an image in pixels, inclusive. Copyright is undocumented; generic is assumed."""
        if self is ServiceType.FABRIC:
            return 448, 4096
        if self in (ServiceType.TRADEMARK, ServiceType.TRADEMARK_TOO):
            return 200, 4095
        return 100, 4096

    @classmethod
    def named(cls, name: str | int) -> ServiceType:
        """Return the type with this name (case-insensitive) or number."""
        if isinstance(name, int):
            return cls(name)
        try:
            return cls[name.upper()]
        except KeyError:
            known = ", ".join(kind.name.lower() for kind in cls)
            raise ValueError(f"service type {name!r}: unknown; use one of {known}") from None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a row failed: a code from `MESSAGES` (or any code from the switch `row_faults`), and a detail in English."""

    code: str
    detail: str = ""

    @property
    def message(self) -> str:
        """The message in English."""
        text = MESSAGES.get(self.code, _OTHER)[0]
        return f"{text} {self.detail}" if self.detail else text

    @property
    def chinese(self) -> str:
        """The message in Chinese; the detail stays English."""
        text = MESSAGES.get(self.code, _OTHER)[1]
        return f"{text}（{self.detail}）" if self.detail else text


#: Code → messages in English and Chinese, in the sandbox's own wording.
MESSAGES: dict[str, tuple[str, str]] = {
    "InvalidMetaItem": ("Malformed line.", "该行格式错误，无法解析。"),
    "NoSpecifiedProductId": ("The product id is missing.", "缺少商品ID。"),
    "InvalidProductId": ("The product id is invalid.", "商品ID无效。"),
    "NoSpecifiedPicName": ("The pic name is missing.", "缺少图片名称。"),
    "InvalidPicName": ("The pic name is invalid.", "图片名称无效。"),
    "InvalidCategory": ("The category is invalid.", "类目无效。"),
    "InvalidCustomContent": ("The custom content is invalid.", "自定义内容无效。"),
    "InvalidStrAttr": ("The StrAttr is invalid.", "字符串属性无效。"),
    "InvalidIntAttr": ("The IntAttr is invalid.", "整数属性无效。"),
    "InvalidRegion": ("The region is invalid.", "主体区域无效。"),
    "PicNotExist": ("The image does not exist.", "图片不存在。"),
    "NoPermission": ("No permission to read the image.", "没有读取图片的权限。"),
    "InternalOssError": ("OSS could not be read.", "读取OSS异常。"),
    "InvalidPicContent": ("The image exceeds 4 MB.", "图片超过4MB。"),
    "UnsupportedPicFormat": ("The image format is not supported.", "不支持的图片格式。"),
    "UnsupportedPicPixels": ("The image's pixels are out of range.", "图片像素超出范围。"),
    "IncorrectOrientation": ("The image has an EXIF rotation.", "图片带有旋转信息。"),
    "InstanceOverQuota": ("The instance's capacity is used up.", "实例容量已满。"),
    # Codes that occur only through the switch `row_faults`.
    "PictureError": ("Img Download Failed", "图片下载失败"),
    "TimeoutForTransferImage": ("The transfer of the image timed out.", "图片传输超时。"),
    "DeniedRequest": ("The request was throttled.", "请求被限流。"),
    "RequestTimeout": ("The request timed out.", "请求超时。"),
    "ExtractFeatureTimeout": ("Extracting the features timed out.", "特征提取超时。"),
    "NetworkException": ("Network exception.", "网络异常。"),
    "UnknownException": ("Unknown exception.", "未知异常。"),
}

_OTHER = ("The image was not imported.", "图片未导入。")


@dataclass(frozen=True, slots=True)
class OpenPoint:
    """An undocumented point: its name for the switch ``strict``, both readings, and the kind of source."""

    name: str
    lenient: str
    strict: str
    source: str = "open"


OPEN_POINTS: tuple[OpenPoint, ...] = (
    OpenPoint(
        "malformed_line",
        "a malformed line fails alone",
        "it fails the task (vendor's current page: two objects on one line cause the operation to fail)",
        "weak",
    ),
    OpenPoint("bom", "a byte order mark before line 1 is skipped", "line 1 is malformed"),
    OpenPoint("crlf", "a carriage return before the line feed is skipped", "the line is malformed"),
    OpenPoint("blank_line", "a blank line is skipped", "a blank line is malformed"),
    OpenPoint("empty_file", "an increment.meta without lines succeeds and does nothing", "the task fails"),
    OpenPoint("repeated_key", "a key given twice: the last one counts", "the line is malformed"),
    OpenPoint("unknown_field", "a field that no page of the vendor names is ignored", "the line is malformed"),
    OpenPoint("null", "a field that is null counts as absent", "null is a value of the wrong type"),
    OpenPoint(
        "empty_pic_name",
        "an empty PicName on a DELETE counts as absent: the whole product is deleted",
        "an empty PicName counts as missing: the line fails",
    ),
    OpenPoint("empty_content", "an empty CustomContent counts as given", "an empty CustomContent counts as missing"),
    OpenPoint("text_length", "lengths count characters", "lengths count UTF-16 units (an emoji is two)"),
    OpenPoint("str_attr_signs", "StrAttr may contain any character", r"StrAttr must not contain \ ¥ $ & %", "weak"),
    OpenPoint("int32", "IntAttr may have 64 bits", "IntAttr must fit 32 bits", "weak"),
    OpenPoint(
        "sub_folder",
        "PicName may name a sub-folder of the task's path (vendor's current page)",
        "images lie in the task's path itself (guide)",
        "conflict",
    ),
    OpenPoint("extension", "the extension need not match the content", "an extension of another format is refused"),
    OpenPoint("animation", "the first frame of an animated image is used", "an animated image is refused"),
    OpenPoint("colours", "CMYK and 16-bit images are accepted", "CMYK and 16-bit images are refused"),
    OpenPoint("alpha", "an image with transparency is accepted", "an image with transparency is refused"),
    OpenPoint("odd_orientation", "an EXIF orientation outside 1 to 8 counts as absent", "it counts as rotation"),
    OpenPoint("region_spaces", "spaces around a Region's numbers are skipped", "spaces make a Region invalid"),
    OpenPoint(
        "region_edge",
        "x2 = width and y2 = height are inside (edges)",
        "x2 and y2 name the last pixel, so they end at width-1 and height-1",
        "weak",
    ),
    OpenPoint(
        "crop_with_region",
        "a Region counts with any value of Crop",
        "Crop false wins: the whole image is used",
        "conflict",
    ),
    OpenPoint("row_order", "rows take effect from first to last", "rows take effect from last to first"),
)

_NAMES = frozenset(point.name for point in OPEN_POINTS)


class Readings:
    """The open points that are read strictly: all (True), none (False), or those named."""

    def __init__(self, strict: bool | Iterable[str] = False) -> None:
        if isinstance(strict, bool):
            self._names = _NAMES if strict else frozenset()
        else:
            self._names = frozenset([strict] if isinstance(strict, str) else strict)
        if unknown := self._names - _NAMES:
            raise ValueError(f"strict: unknown point {', '.join(sorted(unknown))}; known: {', '.join(sorted(_NAMES))}")

    def strict(self, name: str) -> bool:
        """Return whether the open point `name` is read strictly."""
        if name not in _NAMES:
            raise KeyError(name)
        return name in self._names
