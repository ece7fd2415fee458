"""Each cause of failure is recognised by its codes, and by messages in English and Chinese."""

import pytest

from imgprep.ship.report.causes import CAUSES, CauseTable

# cause → a message that means it, in English and in Chinese; neither holds a code
WORDS = {
    "image_missing": ("the picture does not exist", "图片不存在"),
    "rotated": ("wrong orientation", "图片方向不正确"),
    "bad_region": ("the region is outside the image", "主体区域超出图片"),
    "wrong_category": ("unknown category", "类目不存在"),
    "too_many_bytes": ("image too large", "图片大小超过4M"),
    "bad_pixels": ("width must be between 100 and 4096", "像素不符合要求"),
    "bad_format": ("image format is not supported", "格式不支持"),
    "bad_product_id": ("product id is empty", "商品ID为空"),
    "bad_pic_name": ("pic name is empty", "图片名为空"),
    "bad_custom_content": ("custom content too long", "自定义内容过长"),
    "bad_str_attr": ("str attr too long", "字符串属性过长"),
    "bad_int_attr": ("int attr is wrong", "整数属性不合法"),
    "bad_line": ("invalid json", "解析失败"),
    "over_quota": ("quota exceeded", "容量已满"),
    "no_permission": ("you have no permission", "没有权限"),
    "download_failed": ("img download failed", "下载失败"),
    "storage_fault": ("an oss error occurred", "OSS异常"),
    "instance_state": ("instance expired", "实例已过期"),
    "throttled": ("too many requests", "触发限流"),
    "timeout": ("timed out", "处理超时"),
    "service_fault": ("internal server error", "系统错误"),
}


def test_every_cause_has_messages_here():
    assert set(WORDS) == {cause.id for cause in CAUSES}


@pytest.mark.parametrize("cause", WORDS)
def test_a_message_is_classified_by_its_own_cause_and_not_an_earlier_one(cause):
    table = CauseTable()
    assert [table.classify(None, text).id for text in WORDS[cause]] == [cause, cause]
    assert [table.find_code(text) for text in WORDS[cause]] == [None, None]


@pytest.mark.parametrize("cause", [cause for cause in CAUSES if cause.codes], ids=lambda cause: cause.id)
def test_a_known_code_decides_against_the_message(cause):
    table = CauseTable()
    for code in cause.codes:
        assert table.classify(code.upper(), "图片不存在") is table[cause.id]
        assert table.find_code(f'"{code}": no reason given') == code
