"""Why a row fails: the codes that the sandbox writes into its error report.

The vendor documents these codes for AddImage and on its page of error codes; that a batch's error report uses them is
a guess, which is why everything the sandbox reports is marked synthetic.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one row was refused.

    Attributes
    ----------
    code : str
        One of `MESSAGES`, or any other where a switch asks for it.
    detail : str
        What exactly, in English; appended to the code's own message.
    """

    code: str
    detail: str = ""

    @property
    def message(self) -> str:
        """The message in English."""
        text = MESSAGES.get(self.code, _OTHER)[0]
        return f"{text} {self.detail}" if self.detail else text

    @property
    def chinese(self) -> str:
        """The message in Chinese; details stay as they are."""
        text = MESSAGES.get(self.code, _OTHER)[1]
        return f"{text}（{self.detail}）" if self.detail else text


#: Code → message in English and in Chinese. Wording is the sandbox's own.
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
    "PicNotExist": ("The picture does not exist.", "图片不存在。"),
    "NoPermission": ("No permission to read the picture.", "没有读取图片的权限。"),
    "InternalOssError": ("OSS could not be read.", "读取OSS异常。"),
    "InvalidPicContent": ("The picture exceeds 4 MB.", "图片超过4MB。"),
    "UnsupportedPicFormat": ("The picture format is not supported.", "不支持的图片格式。"),
    "UnsupportedPicPixels": ("The picture's pixels are out of range.", "图片像素超出范围。"),
    "IncorrectOrientation": ("The picture carries EXIF rotation.", "图片带有旋转信息。"),
    "InstanceOverQuota": ("The instance's capacity is used up.", "实例容量已满。"),
    # What the sandbox never finds by itself, for the switch `row_faults`.
    "PictureError": ("Img Download Failed", "图片下载失败"),
    "TimeoutForTransferImage": ("The transfer of the picture timed out.", "图片传输超时。"),
    "DeniedRequest": ("The request was throttled.", "请求被限流。"),
    "RequestTimeout": ("The request timed out.", "请求超时。"),
    "ExtractFeatureTimeout": ("Extracting the features timed out.", "特征提取超时。"),
    "NetworkException": ("Network exception.", "网络异常。"),
    "UnknownException": ("Unknown exception.", "未知异常。"),
}

_OTHER = ("The picture was not imported.", "图片未导入。")
