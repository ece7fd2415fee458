"""Causes of failure: the table that maps the service's codes and phrases to a cause, its family and its remedy.

The vendor does not document the format of the error report. That the report reuses the codes of AddImage is an
assumption. Failures that are not in the table get the cause `UNRECOGNISED` and are shown first, never dropped.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.settings import PROJECT_FILE, Settings

UNRECOGNISED = "unrecognised"


class Family(StrEnum):
    """Kind of action that a failure requires from the analyst."""

    IMAGE = "fix the image"
    DATA = "fix the data"
    ACCESS = "fix access or set-up"
    RETRY = "retry as it is"
    UNKNOWN = "look at it"


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause of failure."""

    id: str  #: stable, snake_case
    label: str  #: name in charts and pages
    family: Family  #: kind of action required
    remedy: str  #: one sentence
    codes: tuple[str, ...] = ()  #: the service's codes for this cause
    #: Regular expressions for its messages, English and Chinese; tried if no code is known.
    phrases: tuple[str, ...] = ()
    source: str = "api"  #: ``api`` (the AddImage reference), ``phrase`` (assumed by imgprep) or ``user``


#: Family → who acts, and how; ordered as on pages. The only such table: panels, charts and pages read it.
OWNERS = {
    Family.IMAGE: ("Photographer", "another image, or a new copy"),
    Family.DATA: ("Data", "other values in the catalogue"),
    Family.ACCESS: ("Access", "rights and set-up"),
    Family.RETRY: ("Send again", "as it is"),
    Family.UNKNOWN: ("Look at it", "the text is not recognised"),
}

_IMAGE, _DATA, _ACCESS, _RETRY = Family.IMAGE, Family.DATA, Family.ACCESS, Family.RETRY

#: Ordered as the phrases are tried: specific before general.
CAUSES: tuple[Cause, ...] = (
    Cause(
        "image_missing",
        "image missing",
        _IMAGE,
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
        _IMAGE,
        "Rotate the pixels and remove the tag (prepare_images does).",
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
        "Use a CategoryId from the category reference, or leave it out.",
        ("InvalidCategory",),
        (r"categor", r"类目|类别"),
    ),
    Cause(
        "too_many_bytes",
        "over 4 MB",
        _IMAGE,
        "Re-encode below 4 MB (prepare_images does).",
        ("InvalidPicContent",),
        (r"(image|pic\w*|file).{0,20}(too large|exceed|over 4)|4\s*mb?\b", r"超过\s*4\s*M|图片.{0,4}过大"),
    ),
    Cause(
        "bad_pixels",
        "sides out of range",
        _IMAGE,
        "Scale it down if over 4096 px (prepare_images does); find a larger original if it is too small.",
        ("UnsupportedPicPixels",),
        (r"pixel|resolution|(width|height).{0,20}(between|range|exceed|small|large)", r"像素|分辨率|边长"),
    ),
    Cause(
        "bad_format",
        "format not accepted",
        _IMAGE,
        "Replace a broken file with a new original; convert any other to JPEG or PNG (prepare_images does).",
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
        "Shorten CustomContent to 4,096 characters; the guide requires it on every ADD.",
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
        "Write the file with write_meta; read_meta shows what is wrong with the line.",
        ("InvalidMetaItem", "InvalidLine", "InvalidJson"),
        (r"invalid json|malformed|json.{0,20}(error|parse)|operation\s*type", r"解析|操作类型"),
        "phrase",
    ),
    Cause(
        "over_quota",
        "instance full",
        _DATA,
        "Delete images or buy a larger capacity; until then, the rest of the batch fails too.",
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
        "Check the instance in the console: it may have expired, be under construction, or have another name.",
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
        "Send the rows again; if the error persists, open a ticket with the request id.",
        (
            *("NetworkException", "UnknownException", "InternalError", "ServiceUnavailable", "SystemError"),
            *("AccessEngineFailed", "InternalSwiftError", "InternalTableStoreError", "ConnectionDVException"),
        ),
        (r"network|internal (server )?error|unknown exception|service unavailable", r"网络|系统(错误|异常)|内部错误"),
    ),
)

UNKNOWN_CAUSE = Cause(
    UNRECOGNISED,
    UNRECOGNISED,
    Family.UNKNOWN,
    "Read the raw text; add its phrase to a [[cause]] table in TOML.",
    source="none",
)

_WORD = re.compile(r"[A-Za-z0-9_]+")
#: A row's key as quoted in a report: ``ProductId="1"``, ``PicName=a.jpg``.
_NAMED = re.compile(r"""\b(ProductId|PicName)["']?\s*[=:]\s*(?:"[^"]*"|'[^']*'|[^\s,;"']+)""", re.IGNORECASE)


class CauseTable:
    """A table of causes that classifies failures by code and phrase; the first match wins."""

    def __init__(self, causes: Iterable[Cause] = CAUSES) -> None:
        self.causes = (*causes, UNKNOWN_CAUSE)
        self._by_code = {code.casefold(): cause for cause in reversed(self.causes) for code in cause.codes}
        # The user's patterns are compiled separately, because each may have its own flags and groups.
        self._phrases = [
            (cause, re.compile(pattern, re.IGNORECASE))
            for cause in self.causes
            for pattern in (cause.phrases if cause.source == "user" else filter(None, ["|".join(cause.phrases)]))
        ]
        # Codes are nearly always single words, and looking up the words of a text is many times faster than a search.
        self._only_words = all(_WORD.fullmatch(code) for cause in self.causes for code in cause.codes)
        #: Digits that no phrase distinguishes from 0, so that texts which differ only in them have the same cause.
        self.alike_digits = _alike_digits([pattern.pattern for _, pattern in self._phrases])
        #: Whether digits decide if a word is a code.
        self.has_digits = any(map(str.isdigit, "".join(self._by_code)))
        codes = sorted((code for cause in self.causes for code in cause.codes), key=len, reverse=True)
        # Chinese characters may be adjacent to a code, although they count as word characters.
        self._any_code = re.compile(rf"(?<![A-Za-z0-9_])({'|'.join(map(re.escape, codes))})(?![A-Za-z0-9_])", re.I)

    def find_code(self, text: str) -> str | None:
        """Return the first known code in `text`, spelled as in `text`, or None."""
        if self._only_words:
            return next((word for word in _WORD.findall(text) if word.casefold() in self._by_code), None)
        found = self._any_code.search(text)
        return found.group(1) if found else None

    def of_code(self, code: str | None) -> Cause | None:
        """Return the cause for a code, or None if the code is unknown."""
        return self._by_code.get(code.casefold()) if code else None

    def classify(self, code: str | None, text: str) -> Cause:
        """Return the cause of a failure from its code or, if the code is unknown, from its text."""
        if (known := self.of_code(code)) is not None:
            return known
        # If a text quotes both keys of its row, the names of the keys are not the reason for the failure.
        reason = _NAMED.sub(" ", text) if len(set(map(str.casefold, _NAMED.findall(text)))) > 1 else text
        for cause, pattern in self._phrases:
            if pattern.search(reason):
                return cause
        return UNKNOWN_CAUSE

    @property
    def custom(self) -> tuple[Cause, ...]:
        """The causes that the user defined."""
        return tuple(cause for cause in self.causes if cause.source == "user")

    def __getitem__(self, cause_id: str) -> Cause:
        for cause in self.causes:
            if cause.id == cause_id:
                return cause
        raise KeyError(cause_id)

    def frame(self) -> pd.DataFrame:
        """Return the table, one row per cause: cause, label, family, remedy, codes, source."""
        rows: dict[str, tuple[str, ...]] = {}
        for cause in self.causes:
            # A built-in cause that the user extended is in the table twice; the user's entry comes first and names it.
            codes = [*rows[cause.id][4].split(", "), *cause.codes] if cause.id in rows else cause.codes
            first = self[cause.id]
            known = ", ".join(filter(None, codes))
            rows[cause.id] = (first.id, first.label, str(first.family), first.remedy, known, first.source)
        return pd.DataFrame(
            rows.values(), columns=["cause", "label", "family", "remedy", "codes", "source"], dtype="str"
        )


def _alike_digits(patterns: list[str]) -> tuple[str, ...]:
    """Return the digits that no pattern matches literally; none if a pattern may contain a range of digits."""
    text = re.sub(r"\{[0-9,]*\}", "", " ".join(patterns))
    return () if re.search(r"[0-9]-|-[0-9]|\\[xuUN]", text) else tuple(sorted(set("123456789") - set(text)))


_KEYS = ("id", "label", "family", "remedy", "codes", "phrases")


def load_causes(path: str | Path) -> CauseTable:
    """Return the built-in table preceded by the user's own causes.

    Examples
    --------
    >>> with open("causes.toml", "w", encoding="utf-8") as file:
    ...     _ = file.write('[[cause]]\\nid = "wrong_supplier"\\nfamily = "fix the data"\\nphrases = ["not known"]\\n')
    >>> table = load_causes("causes.toml")
    >>> table.frame().query("cause == 'wrong_supplier'")[["cause", "family"]].values.tolist()
    [['wrong_supplier', 'fix the data']]
    """
    file = Path(path)
    try:
        entries = tomllib.loads(file.read_text(encoding="utf-8-sig")).get("cause", [])
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as a cause table: {error}") from error
    if not isinstance(entries, list):
        raise ConfigError(f"{file}: cause must be a list of tables; write [[cause]] with double brackets")
    return with_custom(entries, str(file))


def with_custom(entries: Iterable[Mapping[str, Any]], where: str) -> CauseTable:
    """Return the built-in table preceded by the user's causes; `where` is used in messages."""
    return CauseTable([*(_user_cause(entry, where) for entry in entries), *CAUSES])


def as_entries(table: CauseTable) -> list[dict[str, Any]]:
    """Return a table's user-defined causes as plain dicts, for `with_custom`."""
    return [
        {
            "id": cause.id,
            "label": cause.label,
            "family": str(cause.family),
            "remedy": cause.remedy,
            "codes": list(cause.codes),
            "phrases": list(cause.phrases),
        }
        for cause in table.custom
    ]


def causes_of(settings: Settings | None, run_folder: Path | None = None) -> CauseTable:
    """Return a project's table, from its settings or from the project to which a run folder belongs."""
    if settings is not None and settings.causes is not None:
        return load_causes(settings.causes)
    if run_folder is not None:
        for project in run_folder.absolute().parents[:3]:
            if (project / PROJECT_FILE).is_file():
                return causes_of(Settings.load(project))
    return CauseTable()


def known_to(runs: object, causes: CauseTable | None = None) -> CauseTable:
    """Return `causes` if given, otherwise the causes used to read one or several runs, newest first."""
    if causes is not None:
        return causes
    several = list(runs) if isinstance(runs, Iterable) else [runs]
    tables = [table for run in reversed(several) if isinstance(table := getattr(run, "cause_table", None), CauseTable)]
    custom = {cause.id: cause for table in reversed(tables) for cause in table.custom}
    return CauseTable([*custom.values(), *CAUSES])


def _user_cause(entry: Mapping[str, Any], file: str) -> Cause:
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{file}: a [[cause]] must be a table, not {entry!r}")
    unknown = set(entry) - set(_KEYS)
    if unknown or not isinstance(entry.get("id"), str):
        what = f"unknown key {sorted(unknown)[0]!r}" if unknown else "id is missing"
        raise ConfigError(f"{file}: a [[cause]]: {what}; known keys: {', '.join(_KEYS)}")
    for key in ("codes", "phrases"):
        texts = entry.get(key, [])
        if not isinstance(texts, list) or not all(isinstance(item, str) and item for item in texts):
            raise ConfigError(f'{file}: cause {entry["id"]}: {key} = {texts!r}: must be a list of strings: ["…", "…"]')
    for key in ("label", "remedy"):
        if not isinstance(entry.get(key, ""), str):
            raise ConfigError(f"{file}: cause {entry['id']}: {key} = {entry[key]!r}: must be a string")
    known = next((cause for cause in CAUSES if cause.id == entry["id"]), None)
    phrases = tuple(entry.get("phrases", ()))
    try:
        family = Family(entry.get("family", known.family if known else Family.DATA))
        everything = next((phrase for phrase in phrases if re.compile(phrase).search("")), None)
    except ValueError as error:
        raise ConfigError(f"{file}: cause {entry['id']}: {error}; families: {', '.join(Family)}") from error
    except re.error as error:
        raise ConfigError(f"{file}: cause {entry['id']}: a phrase is not a regular expression: {error}") from error
    if everything is not None:
        raise ConfigError(f"{file}: cause {entry['id']}: the phrase {everything!r} would match every message")
    return Cause(
        id=entry["id"],
        label=entry.get("label", known.label if known else entry["id"].replace("_", " ")),
        family=family,
        remedy=entry.get("remedy", known.remedy if known else ""),
        codes=tuple(entry.get("codes", ())),
        phrases=phrases,
        source="user",
    )
