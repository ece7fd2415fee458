"""The same failures in any form, encoding and archive end every line the same way."""

import csv
import gzip
import io
import json
import zipfile

import pandas as pd
from hypothesis import assume, given
from hypothesis import strategies as st

from imgprep.ship.report.match import read_report

CODES = ["PicNotExist", "InvalidRegion", "DeniedRequest", "E-9041", "InternalError"]
MESSAGES = [
    "gone",
    "the picture, it says, does not exist",
    '区域无效; "x"',
    "图片不存在",
    "two\nlines",
    "row by row",
    "",
]
WORDS = st.text(st.sampled_from("ab1_-袋裙é"), min_size=1, max_size=5)
# Names as shops have them, and such as only quoting keeps whole.
PLAIN_IDS = WORDS.map("CL-{}".format)
PLAIN_PICS = WORDS.map("{}.jpg".format)
WILD = st.text(st.sampled_from("a1 ,;|'\"=:#{}[]行\\é"), min_size=1, max_size=5).map(lambda text: f"x{text}y")


@st.composite
def runs(draw, ids=PLAIN_IDS, pics=PLAIN_PICS):
    """A batch, and of some of its lines: code and message."""
    products = draw(st.lists(ids, min_size=1, max_size=4, unique=True))
    pictures = draw(st.lists(pics, min_size=1, max_size=4, unique=True))
    assume(not set(products) & set(pictures))
    line = st.tuples(st.sampled_from(["ADD", "ADD", "DELETE"]), st.sampled_from(products), st.sampled_from(pictures))
    lines = draw(st.lists(line, min_size=1, max_size=8))
    batch = pd.DataFrame(lines, columns=["OperationType", "ProductId", "PicName"])
    batch.insert(0, "line", range(1, len(batch) + 1))
    at = draw(st.lists(st.integers(1, len(lines)), min_size=1, max_size=len(lines), unique=True))
    failure = st.tuples(st.sampled_from(CODES), st.sampled_from(MESSAGES))
    return batch, {line: draw(failure) for line in at}


def entries(batch, failed, numbered):
    """One a failure, as a service might write them."""
    named = batch.set_index("line")[["ProductId", "PicName"]].to_dict("index")
    number = {line: {"line": line} if numbered else {} for line in failed}
    return [{**number[line], **named[line], "Code": code, "Message": text} for line, (code, text) in failed.items()]


def numbered(item):
    return f"line {item['line']}: " if "line" in item else ""


def described(item):
    return f"{item['Code']} {' '.join(item['Message'].split())}"


def as_json(items, **how):
    return json.dumps(items, **how)


def as_rows(items, delimiter, header=True):
    file = io.StringIO()
    rows = csv.DictWriter(file, list(items[0]), delimiter=delimiter)
    if header:
        rows.writeheader()
    rows.writerows(items)
    return file.getvalue()


QUOTED_FORMS = {
    "json lines": lambda items: "\n".join(map(json.dumps, items)),
    "json lines, not escaped": lambda items: "\n".join(as_json(item, ensure_ascii=False) for item in items),
    "array": as_json,
    "array, a line each": lambda items: "[\n" + ",\n".join(map(json.dumps, items)) + "\n]\n",
    "array, indented": lambda items: as_json(items, indent=2, ensure_ascii=False),
    "objects, indented": lambda items: "\n".join(as_json(item, indent="\t") for item in items),
    "in an object": lambda items: as_json({"code": 0, "data": {"failures": items, "total": len(items)}}),
    "in an object, indented": lambda items: as_json({"data": {"failures": items}, "code": 0}, indent=4),
    "an array each": lambda items: "\n".join(as_json([item]) for item in items),
    "csv": lambda items: as_rows(items, ","),
    "csv with semicolons": lambda items: as_rows(items, ";"),
    "tsv": lambda items: as_rows(items, "\t"),
    "csv below a title": lambda items: "# failures\n" + as_rows(items, "|"),
}
LOOSE_FORMS = {
    "csv without header": lambda items: as_rows(items, ",", header=False),
    "named": lambda items: "\n".join(
        f"{numbered(item)}ProductId={item['ProductId']} PicName={item['PicName']}: {described(item)}" for item in items
    ),
    "loose": lambda items: "\n".join(
        f"[ERROR] {numbered(item)}{item['PicName']} ({item['ProductId']}) {described(item)}" for item in items
    ),
    "mixed": lambda items: "\n".join(
        json.dumps(item) if at % 2 else f"{numbered(item)}{item['ProductId']} {item['PicName']} {described(item)}"
        for at, item in enumerate(items)
    ),
}


def in_archive(data):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("report", data)
        archive.writestr("READ ME.txt", "# made by the service\n")
    return packed.getvalue()


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "gb18030"]
PACKINGS = {"plain": bytes, "gzip": gzip.compress, "zip": in_archive}


def encoded(text, encoding):
    """The bytes; none that are by chance also UTF-8, as those of a letter or two of GB18030 can be."""
    data = text.encode(encoding)
    if encoding == "gb18030" and not text.isascii():
        assume("\ufffd" in data.decode("utf-8", "replace"))
    return data


def judged(batch, failed, text, encoding, packing):
    """What the report says of each line, and that it agrees with itself."""
    found = read_report(PACKINGS[packing](encoded(text, encoding)), batch, other_batch="keep")
    assert found["line"].tolist() == batch["line"].tolist()
    assert found["outcome"].isin(["imported", "deleted", "failed", "unknown"]).all()
    assert not found["outcome"][found["line"].isin(list(failed))].isin(["imported", "deleted"]).any()
    assert (found["outcome"] == "deleted").sum() <= (batch["OperationType"] == "DELETE").sum()
    assert found.attrs["counts"]["unmatched"] == 0
    # Where nothing says which word is the code, only known ones are recognised.
    found["code"] = found["code"].where(found["code"] != "E-9041")
    return found[["line", "outcome", "code", "cause"]].fillna("").to_numpy().tolist()


def same_in_every_form(run, form, encoding, packing, numbers):
    batch, failed = run
    items = entries(batch, failed, numbers)
    plain = judged(batch, failed, QUOTED_FORMS["json lines"](items), "utf-8", "plain")
    assert judged(batch, failed, form(items), encoding, packing) == plain


@given(
    runs(),
    st.sampled_from(sorted(QUOTED_FORMS | LOOSE_FORMS)),
    st.sampled_from(ENCODINGS),
    st.sampled_from(sorted(PACKINGS)),
    st.booleans(),
)
def test_a_form_does_not_change_what_became_of_a_line(run, form, encoding, packing, numbers):
    same_in_every_form(run, (QUOTED_FORMS | LOOSE_FORMS)[form], encoding, packing, numbers)


@given(
    runs(WILD, WILD),
    st.sampled_from(sorted(QUOTED_FORMS)),
    st.sampled_from(ENCODINGS),
    st.sampled_from(sorted(PACKINGS)),
    st.booleans(),
)
def test_names_full_of_signs_do_not_either(run, form, encoding, packing, numbers):
    same_in_every_form(run, QUOTED_FORMS[form], encoding, packing, numbers)
