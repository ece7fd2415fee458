"""What the service and the console say about a task, and what follows from it."""

from __future__ import annotations

from enum import StrEnum

from imgprep.errors import ConfigError

#: The console's two messages, word for word. Source: guide, "What to do next".
ALL_IMPORTED = "Success"
SOME_FAILED = "Some of the images cannot be imported. Click Download"


class Said(StrEnum):
    """What a message means."""

    ALL = "all"
    SOME = "some"
    FAILED = "failed"
    NOTHING = "nothing"


def meaning(message: str | None) -> Said:
    """Return what a message means; capitals, spaces and full stops do not matter.

    Examples
    --------
    >>> meaning("Some of the images cannot be imported. Click Download")
    <Said.SOME: 'some'>
    """
    text = " ".join((message or "").casefold().split()).strip(" .!\"'")
    if text in ("success", "succeeded", "all images imported", "成功"):
        return Said.ALL
    if "cannot be imported" in text or "some of the images" in text or "部分" in text:
        return Said.SOME
    if text.startswith(("fail", "error", "失败")):
        return Said.FAILED
    return Said.NOTHING


def meaning_by_hand(message: str) -> Said:
    """Like `meaning`, for what a person copies from the console.

    Raises
    ------
    ConfigError
        The message is none that is known.
    """
    said = meaning(message)
    if said is Said.NOTHING:
        raise ConfigError(
            f"close: the message {message!r} is none of the console's; it says {ALL_IMPORTED!r} or {SOME_FAILED!r} "
            "in the column Error Message, or the task's status is FAIL: copy what it says"
        )
    return said
