"""Questions that `calibrate` asks an instance: the probe lines and images of each, and what each result would show.

Everything is declared before anything is sent: which answers a question has, and how they would show. A question whose
result fits none of its answers stays undecided.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from PIL import Image, ImageDraw, ImageOps
from PIL.PngImagePlugin import PngInfo

from imgprep.core.fields import CUSTOM_CONTENT_MAX, STR_ATTR_MAX, Operation, Service
from imgprep.core.findings import Severity
from imgprep.core.regions import Region
from imgprep.look.rules.limits import limits_for
from imgprep.ship.report.match import Outcome

#: Result and explanation of a question; the result is empty if the question stays undecided.
Decided: TypeAlias = tuple[str, str]

#: Side of a probe image in pixels, which every service type accepts, and a region inside it.
SIDE = 512
INSIDE = Region(x1=100, y1=120, x2=400, y2=380)
WHOLE = Region(x1=0, y1=0, x2=SIDE, y2=SIDE)
#: Proportions that are tried, longer side to shorter.
RATIOS = (2, 4, 6, 8, 10, 20)
CONTENT = "imgprep calibrate"
#: Names of the probes that no reading of the documentation refuses.
CONTROLS = ("control-1", "control-2", "control-3")
FIRST, LAST = "first", "last"
ERROR, WARNING, INFO = Severity.ERROR.value, Severity.WARNING.value, Severity.INFO.value
_ORIENTATION = 0x0112


class Probe(NamedTuple):
    """A line of a probe batch."""

    name: str  #: end of the ProductId, and the PicName without its extension
    fields: Mapping[str, Any] = {}  #: fields that differ from a plain ADD; None is written as null
    image: Callable[[], bytes] | None = None  #: None: a plain JPEG
    pic: str = ""  #: PicName, if it is not the name and .jpg; {prefix} is the folder's key in the bucket
    like: str = ""  #: name of the probe whose ProductId this line has
    stored: bool = True  #: whether its image is uploaded
    raw: str = ""  #: how the line is written, as a template over {line}
    end: str = "\n"
    start: str = ""

    @property
    def is_control(self) -> bool:
        """Whether the line is a plain ADD, which only shows that such lines are imported."""
        return self.name.endswith("-control")


class Seen(NamedTuple):
    """What the service shows about a probe once its task has ended."""

    exists: bool | None  #: by CheckImageExists; None if it refuses to answer
    record: Mapping[str, Any] = {}  #: by CheckImageExists
    region: str = ""  #: by SearchImageByName
    outcome: str = Outcome.UNKNOWN  #: by the error report
    code: str = ""
    shared: bool = False  #: whether several lines have the same key, which a report may not tell apart

    @property
    def there(self) -> bool | None:
        """Whether the image was imported; None if that is unknown or the report contradicts the gallery."""
        against = Outcome.FAILED if self.exists else Outcome.IMPORTED
        return None if self.exists is None or (self.outcome == against and not self.shared) else self.exists

    def __str__(self) -> str:
        if self.exists is None:
            return "could not be queried"
        if self.there is None:
            return f"{'in the gallery' if self.exists else 'not in the gallery'}, which the report contradicts"
        return "in the gallery" if self.exists else f"not in the gallery{f' ({self.code})' if self.code else ''}"


class TaskSeen(NamedTuple):
    """How the task of a question ended."""

    ended: bool  #: whether it ended with SUCCESS
    failed: bool  #: whether it ended with FAIL, for a reason that is neither access nor a passing fault
    reported: bool  #: whether some lines failed, by its message or an error report
    message: str = ""


class Evidence(NamedTuple):
    """The evidence for deciding a question."""

    seen: Mapping[str, Seen]
    after: Mapping[str, Seen]  #: after the second task, which deletes
    task: TaskSeen


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An undocumented point, as a question to the service."""

    id: str
    asks: str
    answers: Mapping[str, str]  #: answer → its meaning; of two readings, the lenient one is first
    probes: tuple[Probe, ...] = ()
    deletes: tuple[Probe, ...] = ()  #: lines of the second task
    decide: Callable[[Question, Evidence], Decided]
    apart: bool = False  #: whether it might fail a whole task: then it is asked only on request, in a task of its own
    switch: str = ""  #: the sandbox's open point that it decides; the second answer is the strict reading
    rules: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  #: answer → rule → severity in `check`
    limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  #: answer → limit → value in `check`


# How results are read


def _accepted(question: Question, found: Evidence) -> Decided:
    """All probes are there: the first answer; none: the second; some: ``mixed``."""
    good, bad = list(question.answers)[:2]
    seen = {probe.name: found.seen[probe.name].there for probe in question.probes if not probe.is_control}
    if None in seen.values():
        return "", "the gallery and the report do not agree"
    if all(seen.values()):
        return good, question.answers[good]
    if not any(seen.values()):
        return bad, question.answers[bad]
    some = ", ".join(name for name, there in seen.items() if there)
    return "mixed", f"accepted: {some}; refused: {', '.join(name for name, there in seen.items() if not there)}"


def _of_task(question: Question, found: Evidence) -> Decided:
    """The task fails or the probe is not there: the second answer; the probe is there: the first."""
    good, bad = list(question.answers)[:2]
    if found.task.failed:
        return bad, f"{question.answers[bad]}; the whole task failed"
    if not found.task.ended:
        return "", "the task ended without a result"
    # A report may count lines otherwise, and name these for the one in question; what the gallery has was imported.
    if not all(found.seen[probe.name].exists for probe in question.probes if probe.is_control):
        return "", "the line for comparison was not imported either"
    if not all(probe.is_control for probe in question.probes):
        return _accepted(question, found)
    return (bad, question.answers[bad]) if found.task.reported else (good, question.answers[good])


def _repeated(question: Question, found: Evidence) -> Decided:
    seen = found.seen.get("repeated-key")
    if found.task.ended and seen is not None and seen.there and seen.record.get("CustomContent") == FIRST:
        return "first counts", "a key given twice: the first one counts"
    decided = _of_task(question, found)
    plain = seen is None or not seen.there or seen.record.get("CustomContent") == LAST
    return decided if plain else ("", "the record shows neither value")


def _malformed(question: Question, found: Evidence) -> Decided:
    if found.task.failed:
        return "task fails", question.answers["task fails"]
    there = all(found.seen[probe.name].exists for probe in question.probes if probe.is_control)
    if found.task.ended and there and found.task.reported:
        return "line fails", question.answers["line fails"]
    return "", "the lines around it were not imported, or no failure was reported"


def _lengths(question: Question, found: Evidence) -> Decided:
    names = ("length-ascii", "length-one-emoji", "length-chinese", "length-emoji")
    seen = tuple(found.seen[name].there for name in names)
    if any(found.seen[name].record.get("StrAttr", _text_of(name)) != _text_of(name) for name in names):
        return "truncated", "text over the limit is truncated"
    fits = {
        (True, True, True, True): "characters",
        (True, True, True, False): "UTF-16 units",
        (True, True, False, False): "bytes",
    }
    answer = next((answer for results, answer in fits.items() if results == seen), "")
    return answer, question.answers.get(answer, "the results match no known way of counting")


def _text_of(name: str) -> str:
    signs = {"length-ascii": "a", "length-chinese": "中", "length-emoji": "😀"}
    return signs[name] * STR_ATTR_MAX if name in signs else "😀"


def _edge(question: Question, found: Evidence) -> Decided:
    if not found.seen["region-inside"].there:
        return "", "a region inside the image was not accepted either"
    return _accepted(question, found)


def _crop(question: Question, found: Evidence) -> Decided:
    if found.seen["region-alone"].region != INSIDE.wire():
        return "", "SearchImageByName does not return the region of an image that has one"
    answer = {INSIDE.wire(): "region", WHOLE.wire(): "whole image"}.get(found.seen["crop-with-region"].region, "")
    if not found.seen["crop-with-region"].there:
        return "refused", "the line is refused"
    return answer, question.answers.get(answer, "SearchImageByName returns neither the region nor the whole image")


def _order(question: Question, found: Evidence) -> Decided:
    add, gone = found.seen["order-add"], found.seen["order-delete"].exists
    content = add.record.get("CustomContent")
    answer = {(LAST, False): "first to last", (FIRST, True): "last to first"}.get((str(content), gone), "")  # type: ignore[arg-type]
    shown = (
        f"of two ADDs, {content or 'neither'} counts; after ADD and DELETE the image is {'there' if gone else 'gone'}"
    )
    return answer or ("mixed" if add.exists and gone is not None else ""), question.answers.get(answer, shown)


def _deleted(victim: str, question: Question, found: Evidence) -> Decided:
    before = [found.seen[name].exists for name in (f"{victim}-1", f"{victim}-2")]
    after = [found.after[name].exists for name in (f"{victim}-1", f"{victim}-2") if name in found.after]
    control = found.after.get("delete-control")
    if before != [True, True] or control is None or control.exists is not False or None in after:
        return "", "the images to delete were not in the gallery, or nothing was deleted"
    answer = {(False, False): "whole product", (True, True): "refused"}.get((after[0], after[1]), "")  # type: ignore[arg-type]
    return answer, question.answers.get(answer, "one of two images was deleted")


def _base(question: Question, found: Evidence) -> Decided:
    seen = found.seen["pic-name-base"].there
    answer = {False: "folder", True: "bucket too"}.get(seen, "") if seen is not None else ""
    return answer, question.answers.get(answer, "the gallery and the report do not agree")


def _ratio(question: Question, found: Evidence) -> Decided:
    seen = [found.seen[probe.name].there for probe in question.probes]
    good = sum(there is True for there in seen)
    if None in seen or not good or not all(seen[:good]):
        return "", "the results show no clear limit"
    beyond = f", {RATIOS[good]} to 1 is refused" if good < len(seen) else "; no limit was found"
    return str(RATIOS[good - 1]), f"images up to {RATIOS[good - 1]} to 1 are accepted{beyond}"


def _limit(question: Question, found: Evidence) -> Decided:
    """Probes that end in ``-at`` are at the documented limit, those that end in ``-beyond`` exceed it."""
    there = {probe.name: found.seen[probe.name].there for probe in question.probes}
    if None in there.values():
        return "", "the gallery and the report do not agree"
    at, beyond = ({there[name] for name in there if name.endswith(end)} for end in ("-at", "-beyond"))
    for name, answer in (("at", "narrower"), ("beyond", "wider")):
        if (name == "at" and False in at) or (name == "beyond" and True in beyond):
            return answer, question.answers[answer]
    return "as documented", question.answers["as documented"]


def _spaces(question: Question, found: Evidence) -> Decided:
    seen = found.seen["str-attr-spaces"]
    if seen.there is False:
        return "refused", question.answers["refused"]
    answer = {" a ": "kept", "a": "trimmed"}.get(str(seen.record.get("StrAttr")), "") if seen.there else ""
    return answer, question.answers.get(answer, "the record does not show it")


# Images


def _scene(mode: str = "RGB", size: tuple[int, int] = (SIDE, SIDE), colour: str = "teal") -> Image.Image:
    image = Image.new("RGB", size, "gainsboro")
    box = [size[0] // 4, size[1] // 4, 3 * size[0] // 4, 3 * size[1] // 4]
    ImageDraw.Draw(image).ellipse(box, fill=colour)
    return image.convert(mode)


def _saved(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def plain() -> bytes:
    """Return an image that every rule accepts."""
    return _saved(_scene(), "JPEG")


def _turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return _saved(_scene(), "JPEG", exif=exif)


def _deep() -> bytes:
    return _saved(Image.new("I;16", (SIDE, SIDE), 30_000), "PNG")


def _frames(form: str) -> bytes:
    """Return an image of two frames that differ at every pixel; equal pixels would be stored as transparent."""
    first = _scene()
    return _saved(first, form, save_all=True, append_images=[ImageOps.invert(first)])


def _heavy(size: int) -> bytes:
    """Return a PNG of exactly `size` bytes, padded with a private chunk."""
    info, empty = PngInfo(), PngInfo()
    empty.add(b"prVt", b"")
    info.add(b"prVt", bytes(size - len(_saved(_scene(), "PNG", pnginfo=empty))))
    return _saved(_scene(), "PNG", pnginfo=info)


def _sized(width: int, height: int) -> bytes:
    return _saved(_scene(size=(width, height)), "PNG", compress_level=1)


# The list


def _either(accepted: str, refused: str) -> dict[str, str]:
    return {"accepted": accepted, "refused": refused}


def _rule(name: str) -> dict[str, dict[str, str]]:
    return {"accepted": {name: INFO}, "refused": {name: ERROR}}


def questions(service: str = "product") -> tuple[Question, ...]:
    """Return every question, in the order of the table of answers."""
    limits = limits_for(Service(service))
    shortest, longest, heaviest = (int(limits[name]) for name in ("side_min", "side_max", "image_bytes"))
    sides = {ratio: min(2 * shortest, longest // ratio) for ratio in RATIOS}
    emoji = [Probe(name, {"StrAttr": _text_of(name)}) for name in ("length-ascii", "length-one-emoji")]
    emoji += [Probe(name, {"StrAttr": _text_of(name)}) for name in ("length-chinese", "length-emoji")]
    documented = {
        "as documented": "the limit is as documented",
        "narrower": "a value exactly at the limit is refused",
        "wider": "a value over the limit is accepted",
    }
    whole_product = {"whole product": "it counts as absent: the whole product is deleted", "refused": "the line fails"}
    in_order = (
        Probe("order-add", {"CustomContent": FIRST}),
        Probe("order-add", {"CustomContent": LAST}),
        Probe("order-delete"),
        Probe("order-delete", {"OperationType": Operation.DELETE.value}),
    )
    return (
        Question(
            id="null",
            asks="Does a field that is null count as absent?",
            answers=_either("a field that is null counts as absent", "null is a value of the wrong type"),
            probes=tuple(
                Probe(f"null-{name}", {name: None}) for name in ("CategoryId", "IntAttr", "StrAttr", "Region")
            ),
            decide=_accepted,
            switch="null",
        ),
        Question(
            id="empty_pic_name",
            asks="What does a DELETE with an empty PicName delete?",
            answers=whole_product,
            probes=(Probe("empty-name-1"), Probe("empty-name-2", like="empty-name-1")),
            deletes=(Probe("empty-name", {"PicName": ""}, like="empty-name-1"),),
            decide=partial(_deleted, "empty-name"),
            switch="empty_pic_name",
            rules={answer: {"delete-empty-pic-name": ERROR} for answer in whole_product},
        ),
        Question(
            id="null_pic_name",
            asks="What does a DELETE whose PicName is null delete?",
            answers=whole_product,
            probes=(Probe("null-name-1"), Probe("null-name-2", like="null-name-1")),
            deletes=(Probe("null-name", {"PicName": None}, like="null-name-1"),),
            decide=partial(_deleted, "null-name"),
        ),
        Question(
            id="empty_content",
            asks="Does an empty CustomContent count as given?",
            answers=_either("an empty CustomContent counts as given", "an empty CustomContent counts as missing"),
            probes=(Probe("empty-content", {"CustomContent": ""}),),
            decide=_accepted,
            switch="empty_content",
            rules=_rule("custom-content-empty"),
        ),
        Question(
            id="empty_str_attr",
            asks="Is an empty StrAttr accepted?",
            answers=_either("an empty StrAttr is accepted", "an empty StrAttr is refused"),
            probes=(Probe("empty-str-attr", {"StrAttr": ""}),),
            decide=_accepted,
            rules=_rule("str-attr-empty"),
        ),
        Question(
            id="str_attr_spaces",
            asks="Are spaces around a StrAttr kept?",
            answers={"kept": "they are kept", "trimmed": "they are removed", "refused": "the line is refused"},
            probes=(Probe("str-attr-spaces", {"StrAttr": " a "}),),
            decide=_spaces,
            rules={"kept": {"str-attr-spaces": INFO}, "refused": {"str-attr-spaces": ERROR}},
        ),
        Question(
            id="text_length",
            asks="In which unit are the lengths of texts limited?",
            answers={
                "characters": "lengths count characters",
                "UTF-16 units": "lengths count UTF-16 units (an emoji is two)",
                "bytes": "lengths count bytes of UTF-8 (a Chinese character is three)",
            },
            probes=tuple(emoji),
            decide=_lengths,
            switch="text_length",
        ),
        Question(
            id="str_attr_length",
            asks=f"Is a StrAttr of exactly {STR_ATTR_MAX} characters accepted, and one of {STR_ATTR_MAX + 1} refused?",
            answers=documented,
            probes=(
                Probe("str-attr-at", {"StrAttr": "a" * STR_ATTR_MAX}),
                Probe("str-attr-beyond", {"StrAttr": "a" * (STR_ATTR_MAX + 1)}),
            ),
            decide=_limit,
            limits={"narrower": {"str_attr_chars": STR_ATTR_MAX - 1}},
        ),
        Question(
            id="content_length",
            asks=f"Is a CustomContent of exactly {CUSTOM_CONTENT_MAX:,} characters accepted, and a longer one refused?",
            answers=documented,
            probes=(
                Probe("content-at", {"CustomContent": "a" * CUSTOM_CONTENT_MAX}),
                Probe("content-beyond", {"CustomContent": "a" * (CUSTOM_CONTENT_MAX + 1)}),
            ),
            decide=_limit,
            limits={"narrower": {"custom_content_chars": CUSTOM_CONTENT_MAX - 1}},
        ),
        Question(
            id="str_attr_signs",
            asks=r"May a StrAttr contain \ ¥ $ & %?",
            answers=_either("StrAttr may contain any character", r"StrAttr must not contain \ ¥ $ & %"),
            probes=tuple(
                Probe(f"sign-{name}", {"StrAttr": f"a{sign}b"})
                for name, sign in zip(("backslash", "yen", "dollar", "and", "percent"), "\\¥$&%", strict=True)
            ),
            decide=_accepted,
            switch="str_attr_signs",
            rules=_rule("str-attr-characters"),
        ),
        Question(
            id="int32",
            asks="May an IntAttr exceed 32 bits?",
            answers=_either("IntAttr may have 64 bits", "IntAttr must fit 32 bits"),
            probes=(Probe("int-above", {"IntAttr": 2**31}), Probe("int-below", {"IntAttr": -(2**31) - 1})),
            decide=_accepted,
            switch="int32",
            rules={"refused": {"int-attr-range": ERROR}},
        ),
        Question(
            id="sub_folder",
            asks="May PicName name a sub-folder of the task's path?",
            answers=_either("PicName may name a sub-folder", "images must lie in the task's path itself"),
            probes=(Probe("sub-folder", pic="sub/folder.jpg"), Probe("sub-sub-folder", pic="sub/sub/folder.jpg")),
            decide=_accepted,
            switch="sub_folder",
            rules=_rule("pic-name-folder"),
        ),
        Question(
            id="pic_name_base",
            asks="Where does PicName start: at the task's path, or at the bucket's root?",
            answers={
                "folder": "PicName starts at the task's path",
                "bucket too": "PicName starts at the task's path or at the bucket's root",
            },
            probes=(Probe("pic-name-base", pic="{prefix}control-1.jpg", stored=False),),
            decide=_base,
        ),
        Question(
            id="extension",
            asks="Must the extension match the image's format?",
            answers=_either("it need not match", "an extension of another format is refused"),
            probes=(
                Probe("jpeg-as-png", pic="jpeg-as-png.png"),
                Probe("png-as-jpeg", image=partial(_sized, SIDE, SIDE), pic="png-as-jpeg.jpg"),
            ),
            decide=_accepted,
            switch="extension",
            rules=_rule("image-extension-differs"),
        ),
        Question(
            id="animation",
            asks="Are files with several frames accepted (animation, multi-page TIFF)?",
            answers=_either("the first frame is used", "a file with several frames is refused"),
            probes=(
                Probe("animated-gif", image=partial(_frames, "GIF"), pic="animated.gif"),
                Probe("animated-webp", image=partial(_frames, "WEBP"), pic="animated.webp"),
                Probe("pages-tiff", image=partial(_frames, "TIFF"), pic="pages.tiff"),
            ),
            decide=_accepted,
            switch="animation",
            rules=_rule("image-several-pictures"),
        ),
        Question(
            id="colours",
            asks="Are CMYK and 16-bit images accepted?",
            answers=_either("CMYK and 16-bit images are accepted", "CMYK and 16-bit images are refused"),
            probes=(
                Probe("cmyk", image=lambda: _saved(_scene("CMYK"), "JPEG")),
                Probe("deep", image=_deep, pic="deep.png"),
            ),
            decide=_accepted,
            switch="colours",
            rules={
                "accepted": {"image-cmyk": INFO, "image-deep": INFO},
                "refused": {"image-cmyk": ERROR, "image-deep": ERROR},
            },
        ),
        Question(
            id="alpha",
            asks="Are images with transparency accepted?",
            answers=_either("an image with transparency is accepted", "an image with transparency is refused"),
            probes=(
                Probe("alpha-png", image=lambda: _saved(_scene("RGBA"), "PNG"), pic="alpha.png"),
                Probe("alpha-grey", image=lambda: _saved(_scene("LA"), "PNG"), pic="alpha-grey.png"),
            ),
            decide=_accepted,
            switch="alpha",
            rules=_rule("image-transparent"),
        ),
        Question(
            id="odd_orientation",
            asks="Does an EXIF orientation outside 1 to 8 count as absent?",
            answers=_either("it counts as absent", "it counts as a rotation"),
            probes=tuple(Probe(f"orientation-{number}", image=partial(_turned, number)) for number in (0, 9)),
            decide=_accepted,
            switch="odd_orientation",
        ),
        Question(
            id="aspect_ratio",
            asks="Up to which ratio of its sides is an image accepted?",
            answers={str(ratio): f"images up to {ratio} to 1 are accepted" for ratio in RATIOS},
            probes=tuple(
                Probe(f"ratio-{ratio}", image=partial(_sized, side, side * ratio), pic=f"ratio-{ratio}.png")
                for ratio, side in sides.items()
                if side >= shortest
            ),
            decide=_ratio,
            rules={str(ratio): {"image-narrow": INFO if ratio == RATIOS[-1] else WARNING} for ratio in RATIOS},
            limits={str(ratio): {"aspect_ratio": ratio} for ratio in RATIOS},
        ),
        Question(
            id="image_bytes",
            asks=f"Is an image of exactly {heaviest:,} bytes accepted, and one byte more refused?",
            answers=documented,
            probes=(
                Probe("bytes-at", image=partial(_heavy, heaviest), pic="bytes-at.png"),
                Probe("bytes-beyond", image=partial(_heavy, heaviest + 1), pic="bytes-beyond.png"),
            ),
            decide=_limit,
            limits={"narrower": {"image_bytes": heaviest - 1}},
        ),
        Question(
            id="image_sides",
            asks=f"Are sides of exactly {shortest} and {longest:,} px accepted, and one pixel less or more refused?",
            answers=documented,
            probes=tuple(
                Probe(name, image=partial(_sized, *size), pic=f"{name}.png")
                for name, size in (
                    ("short-at", (shortest, 2 * shortest)),
                    ("short-beyond", (shortest - 1, 2 * shortest)),
                    ("long-at", (longest, longest // 2)),
                    ("long-beyond", (longest + 1, longest // 2)),
                )
            ),
            decide=_limit,
        ),
        Question(
            id="region_spaces",
            asks="May a Region have spaces around its numbers?",
            answers=_either("spaces are skipped", "spaces make a Region invalid"),
            probes=(Probe("region-spaces", {"Region": INSIDE.wire().replace(",", ", ")}),),
            decide=_accepted,
            switch="region_spaces",
        ),
        Question(
            id="region_edge",
            asks="May a Region end at x2 = width and y2 = height?",
            answers=_either("yes: its numbers are edges", "no: x2 and y2 name the last pixel"),
            probes=(Probe("region-whole", {"Region": WHOLE.wire()}),),
            decide=_edge,
            switch="region_edge",
            limits={"refused": {"region_edge": 1}},
        ),
        Question(
            id="crop_with_region",
            asks="Does a Region count if Crop is false?",
            answers={"region": "the Region counts", "whole image": "Crop false wins: the whole image is used"},
            probes=(Probe("crop-with-region", {"Region": INSIDE.wire(), "Crop": False}),),
            decide=_crop,
            switch="crop_with_region",
            rules={"region": {"crop-with-region": INFO}, "whole image": {"crop-with-region": WARNING}},
        ),
        Question(
            id="duplicate_line",
            asks="Is a repeated line accepted?",
            answers=_either("a repeated line is accepted", "a repeated line is refused"),
            probes=(Probe("twice"), Probe("twice")),
            decide=_accepted,
            rules={"accepted": {"duplicate-key": INFO}, "refused": {"duplicate-key": ERROR}},
        ),
        Question(
            id="row_order",
            asks="In which order do lines about one image take effect?",
            answers={"first to last": "from first to last", "last to first": "from last to first"},
            probes=in_order,
            decide=_order,
            switch="row_order",
        ),
        *_questions_apart(),
    )


def _questions_apart() -> Iterator[Question]:
    """Yield the questions that might fail a whole task."""
    fails = "the line is malformed"

    def apart(id: str, asks: str, good: str, *probes: Probe, bad: str = fails, **options: Any) -> Question:
        return Question(
            id=id,
            asks=asks,
            answers=options.pop("answers", _either(good, bad)),
            probes=probes,
            decide=options.pop("decide", _of_task),
            apart=True,
            switch=id,
        )

    yield apart(
        "malformed_line",
        "Does a malformed line fail alone (two objects on one line)?",
        "",
        Probe("malformed-control"),
        Probe("malformed", raw="{line} {line}"),
        Probe("malformed-too-control"),
        answers={"line fails": "a malformed line fails alone", "task fails": "it fails the task"},
        decide=_malformed,
    )
    yield apart(
        "bom",
        "Is a byte order mark before line 1 skipped?",
        "it is skipped",
        Probe("bom", start="\ufeff"),
        Probe("bom-control"),
    )
    yield apart(
        "crlf",
        "Is a carriage return before the line feed skipped?",
        "it is skipped",
        Probe("crlf", end="\r\n"),
        Probe("crlf-control"),
    )
    yield apart(
        "blank_line",
        "Is a blank line skipped?",
        "it is skipped",
        Probe("blank-control", end="\n\n"),
        Probe("blank-too-control"),
    )
    yield apart(
        "repeated_key",
        "Which value counts if a line has a key twice?",
        "the last one counts",
        Probe("repeated-key", {"CustomContent": FIRST}, raw="{line}"),
        Probe("repeated-control"),
        decide=_repeated,
    )
    yield apart(
        "unknown_field",
        "Is a field that the vendor does not document ignored?",
        "it is ignored",
        Probe("unknown-field", {"ImgprepProbe": "x"}),
        Probe("unknown-control"),
    )


#: Probes that belong to no single question: those that must be imported, what other probes are compared with, lines
#: whose refusal is documented, so that there is an error report, and an image that the second task deletes.
COMMON = (
    *(Probe(name) for name in CONTROLS),
    Probe("delete-control"),
    Probe("region-alone", {"Region": INSIDE.wire()}),
    Probe("region-inside", {"Region": Region(x1=0, y1=0, x2=SIDE - 1, y2=SIDE - 1).wire()}),
    Probe("missing-image", stored=False),
    Probe("turned", image=partial(_turned, 6)),
    Probe("region-outside", {"Region": Region(x1=0, y1=0, x2=2 * SIDE, y2=2 * SIDE).wire()}),
)
DELETE_CONTROL = Probe("deleting", {"PicName": "delete-control.jpg"}, like="delete-control")

#: What the error report of the shared task shows: point → question.
REPORT_QUESTIONS = {
    "report_format": "In which format is the error report?",
    "report_lines": "Does the error report give the numbers of the lines?",
    "report_names": "Does the error report, as imgprep reads it, name every line that was not imported, and no other?",
}

#: Points that no probe settles, and what to do by hand.
BY_HAND = {
    "empty_file": "Is an increment.meta without lines a success? Upload an empty one and create a task in the console; "
    "imgprep sends none.",
    "cancelled": "How is a cancelled task spelled in IncreaseList, and does it have an error report? Start a batch of "
    "a few thousand lines, cancel it in the console, and run `imgprep tasks`.",
    "callback": "What does the service send to CallbackAddress? Set callback under [service] to your own URL.",
    "role": "How does the API find the RAM role? Create the first task in the console, with the role's ARN.",
    "csv": "How are CSV batches named and escaped? The console's dialogue for batch tasks may offer a template.",
    "most_lines": "How many lines, and how many bytes, may an increment.meta have? Ask the vendor's support.",
    "dump_format": "In which format is DumpMeta's export? `imgprep dump` saves one; its first lines show it.",
}


def line_text(probe: Probe, operation: str, product_id: str, pic_name: str) -> str:
    """Return the probe's line as written, with its line end."""
    record = {"OperationType": operation, "ProductId": product_id, "PicName": pic_name}
    if operation == Operation.ADD:
        record["CustomContent"] = CONTENT
    line = json.dumps({**record, **probe.fields}, ensure_ascii=False)
    if probe.name == "repeated-key":  # no dictionary has a key twice
        line = f'{line[:-1]}, "CustomContent": "{LAST}"}}'
    return probe.start + (probe.raw or "{line}").replace("{line}", line) + probe.end


def severities(answers: Mapping[str, str], asked: Sequence[Question]) -> tuple[dict[str, str], dict[str, float]]:
    """Return the severities of rules, and the limits, that answers imply; of two severities, the worse applies."""
    worst = {severity.value: place for place, severity in enumerate(Severity)}
    rules: dict[str, str] = {}
    limits: dict[str, float] = {}
    for question in asked:
        answer = answers.get(question.id, "")
        for rule, severity in question.rules.get(answer, {}).items():
            rules[rule] = min(rules.get(rule, severity), severity, key=worst.__getitem__)
        limits |= question.limits.get(answer, {})
    return rules, limits
