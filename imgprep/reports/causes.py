"""Why rows fail: one table from the service's codes and phrases to a cause, its family and its remedy.

The vendor documents neither the format of the error report nor that it reuses the codes of AddImage; that it does
is a guess. What the table does not know is called `UNRECOGNISED` and shown first, never dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

UNRECOGNISED = "unrecognised"


class Family(StrEnum):
    """What a failure asks of the analyst."""

    DATA = "fix the data"
    ACCESS = "fix access or set-up"
    RETRY = "retry as it is"
    UNKNOWN = "look at it"


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason for which rows fail.

    Attributes
    ----------
    id : str
        Stable name, snake_case.
    label : str
        For charts and pages.
    family : Family
        What to do about it.
    remedy : str
        One sentence.
    codes : tuple of str
        The service's codes that mean it.
    phrases : tuple of str
        Regular expressions found in its messages, English and Chinese; tried where no code is known.
    source : str
        ``api``: the reference of AddImage; ``phrase``: an imgprep guess; ``user``: taught by the user.
    """

    id: str
    label: str
    family: Family
    remedy: str
    codes: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    source: str = "api"


_DATA, _ACCESS, _RETRY = Family.DATA, Family.ACCESS, Family.RETRY

#: In the order in which phrases are tried: the particular before the general.
CAUSES: tuple[Cause, ...] = (
    Cause(
        "image_missing",
        "image missing",
        _DATA,
        "Upload the image beside increment.meta, or correct PicName (case and extension count).",
        ("PicNotExist",),
        (
            r"pic(ture)?\s*(does)?\s*not\s*exist|image.{0,20}(not (found|exist)|missing)|no\s*such\s*key",
            r"图片.{0,4}不存在|找不到图片",
        ),
    ),
    Cause(
        "rotated",
        "rotated by EXIF",
        _DATA,
        "Bake the rotation in: prepare_images does.",
        ("IncorrectOrientation",),
        (r"orientation|exif|rotat", r"旋转|方向"),
    ),
    Cause(
        "bad_region",
        "bad Region",
        _DATA,
        "Draw the region again, inside the image; the order is x1,x2,y1,y2.",
        ("InvalidRegion", "RegionError"),
        (r"\bregion\b(?!.*\bendpoint)", r"主体(区域|框)|区域.{0,6}(错误|无效|超出|非法)"),
    ),
    Cause(
        "wrong_category",
        "wrong category",
        _DATA,
        "Use a CategoryId of the category reference, or leave it out.",
        ("InvalidCategory",),
        (r"categor", r"类目|类别"),
    ),
    Cause(
        "too_many_bytes",
        "over 4 MB",
        _DATA,
        "Re-encode below 4 MB: prepare_images does.",
        ("InvalidPicContent",),
        (r"(image|pic\w*|file).{0,20}(too large|exceed|over 4)|4\s*mb?\b", r"超过\s*4\s*M|图片.{0,4}过大"),
    ),
    Cause(
        "bad_pixels",
        "sides out of range",
        _DATA,
        "Scale down over 4096 px (prepare_images does); find a larger original for one that is too small.",
        ("UnsupportedPicPixels",),
        (r"pixel|resolution|(width|height).{0,20}(between|range|exceed|small|large)", r"像素|分辨率|边长"),
    ),
    Cause(
        "bad_format",
        "format not taken",
        _DATA,
        "A broken file needs a new original; any other: convert it to JPEG or PNG (prepare_images does).",
        ("UnsupportedPicFormat",),
        (r"(pic\w*|image|file)?.{0,10}format.{0,20}(not|un)\s*support|unsupported.{0,20}format|decode", r"格式|解码"),
    ),
    Cause(
        "bad_product_id",
        "bad ProductId",
        _DATA,
        "Give every row a ProductId of 1 to 256 characters.",
        ("InvalidProductId", "NoSpecifiedProductId"),
        (r"product\s*id", r"商品\s*ID"),
    ),
    Cause(
        "bad_pic_name",
        "bad PicName",
        _DATA,
        "Give every row one PicName of 1 to 256 characters, with its extension.",
        ("InvalidPicName", "NoSpecifiedPicName"),
        (r"pic\s*name", r"图片名"),
    ),
    Cause(
        "bad_custom_content",
        "bad CustomContent",
        _DATA,
        "Shorten CustomContent to 4,096 characters; the guide wants it on every ADD.",
        ("InvalidCustomContent",),
        (r"custom\s*content", r"自定义内容"),
    ),
    Cause(
        "bad_str_attr",
        "bad StrAttr",
        _DATA,
        "Shorten StrAttr to 128 characters.",
        ("InvalidStrAttr",),
        (r"str\s*attr", r"字符串属性"),
    ),
    Cause(
        "bad_int_attr",
        "bad IntAttr",
        _DATA,
        "IntAttr must be a 32-bit integer.",
        ("InvalidIntAttr",),
        (r"int\s*attr", r"整数属性"),
    ),
    Cause(
        "bad_line",
        "line not understood",
        _DATA,
        "Write the file with write_meta; read_meta says what is wrong with the line.",
        ("InvalidMetaItem", "InvalidLine", "InvalidJson"),
        (r"invalid json|malformed|json.{0,20}(error|parse)|operation\s*type", r"解析|操作类型"),
        "phrase",
    ),
    Cause(
        "over_quota",
        "instance full",
        _DATA,
        "Delete images or buy a larger capacity; the rest of the batch fails the same way until then.",
        ("InstanceOverQuota",),
        (r"quota|capacity", r"容量|配额"),
    ),
    Cause(
        "no_permission",
        "no permission",
        _ACCESS,
        "Give the role oss:GetObject on acs:oss:*:*:BUCKET/FOLDER/* (one slash): `imgprep policy` prints it.",
        ("NoPermission", "AccessDenied"),
        (r"permission|access\s*denied|forbidden|not authorized", r"权限|未授权"),
    ),
    Cause(
        "download_failed",
        "image could not be fetched",
        _ACCESS,
        "Check that the role covers the folder and that bucket and instance share a region; then send again.",
        ("PictureError",),
        (r"(img|image|pic\w*)?\s*download\s*fail", r"下载失败"),
    ),
    Cause(
        "storage_fault",
        "OSS fault",
        _ACCESS,
        "Check that bucket and instance share a region; then send again.",
        ("InternalOssError",),
        (r"oss.{0,20}(error|fail)", r"OSS.{0,6}(错误|异常)"),
    ),
    Cause(
        "instance_state",
        "instance not usable",
        _ACCESS,
        "Look at the instance in the console: expired, being created, or another name.",
        ("InstanceStatusError", "InvalidInstance"),
        (r"instance.{0,20}(status|state|invalid|not exist|expired)", r"实例"),
    ),
    Cause(
        "throttled",
        "throttled",
        _RETRY,
        "Send the rows again.",
        ("DeniedRequest",),
        (r"throttl|too many requests|denied\s*request", r"限流|频率"),
    ),
    Cause(
        "timeout",
        "timed out",
        _RETRY,
        "Send the rows again.",
        ("TimeoutForTransferImage", "RequestTimeout", "ExtractFeatureTimeout"),
        (r"time\s*d?\s*-?out", r"超时"),
    ),
    Cause(
        "service_fault",
        "service fault",
        _RETRY,
        "Send the rows again; a ticket with the request id if it stays.",
        ("NetworkException", "UnknownException", "InternalError", "ServiceUnavailable", "SystemError"),
        (r"network|internal (server )?error|unknown exception|service unavailable", r"网络|系统(错误|异常)|内部错误"),
    ),
)

UNKNOWN_CAUSE = Cause(
    UNRECOGNISED,
    UNRECOGNISED,
    Family.UNKNOWN,
    "Read the raw text; teach imgprep the phrase with a [[cause]] table in TOML.",
    source="none",
)
