"""The report page of a run: its first sentence is the answer, who acts is named, and a missing image has a reason."""

import re
from html import unescape

import pytest
from PIL import Image

import imgprep as ip
from imgprep.core.language import texts
from imgprep.ship.report.causes import OWNERS, CauseTable, Family
from imgprep.show.report_page import SHOWN_CARDS, _headline


def text_of(page):
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.S)).split())


def heading(page):
    return unescape(re.search(r"<h1>(.*?)</h1>", page)[1])


def page_of(run, folder, **options):
    return ip.write_report(run, folder / "report.html", **options).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run(demo_runs):
    return demo_runs[0]


def test_the_first_sentence_counts_the_lines_and_the_date_is_in_words(run, tmp_path):
    page = page_of(run, tmp_path)
    ends = run.outcome["outcome"].value_counts()
    done = ends["imported"] + ends.get("deleted", 0)
    assert heading(page) == f"{done} of {len(run.outcome)} lines succeeded, {ends['failed']} failed."
    assert re.search(r"Sent on \d{1,2} September 2026 at 06:00 UTC", text_of(page))


@pytest.mark.parametrize(
    ("state", "ends", "sentence"),
    [
        ("success", ["imported"], "1 line succeeded, none failed."),
        ("partial", ["imported", "failed", "unknown"], "1 of 3 lines succeeded, 1 failed, and 1 ended unknown."),
        ("processing", ["unknown", "unknown"], "The task has not ended; the outcome of its 2 lines is not known yet."),
        ("closed", [], "Nothing was sent."),
    ],
)
def test_each_end_has_its_sentence(state, ends, sentence):
    sums = {name: ends.count(name) for name in ("imported", "deleted", "failed", "unknown")} | {"lines": len(ends)}
    about = type("Run", (), {"ended": state != "processing", "undecided": False})
    assert _headline(about, sums, texts("en")) == sentence


def test_every_failed_line_is_one_persons_to_act_on(run, tmp_path):
    page = page_of(run, tmp_path)
    tiles = re.findall(r'<section class="tile"><h3><b>([\d,]+)</b> (.*?) <small>', page)
    failed = run.outcome[run.outcome["outcome"] == "failed"]
    assert sum(int(count.replace(",", "")) for count, _ in tiles) == len(failed)
    table = CauseTable().frame().set_index("cause")["family"]
    assert table["bad_format"] == Family.IMAGE and set(Family) == set(OWNERS)
    by_image = int(failed["cause"].map(table).eq(Family.IMAGE).sum())
    assert ("Photographer", by_image) in [(who, int(count)) for count, who in tiles]
    panel = ip.CauseExplorer(run)
    panel.show("image_missing")
    assert "Photographer · fix the image" in panel._parts.remedy.value


def test_a_missing_image_has_a_reason_and_the_number_of_cards_is_bounded(run, tmp_path):
    page = page_of(run, tmp_path)
    assert 0 < page.count('class="ip-card"') <= SHOWN_CARDS
    assert page.count("no folder of images was given") == page.count('class="ip-card"')
    failed = run.outcome[run.outcome["outcome"] == "failed"]
    name = failed["PicName"].dropna().iloc[0]
    (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30)).save(tmp_path / "images" / name, "PNG")
    page = page_of(run, tmp_path, images=tmp_path / "images")
    assert "data:image/jpeg" in page and "no file with this name" in page


def test_the_rules_that_predicted_a_failure_or_excluded_a_row_are_titles(run, tmp_path):
    page = page_of(run, tmp_path)
    assert "<td>the image is missing</td>" in page and "<code>image-missing" not in page


def test_the_page_is_in_the_language_of_the_project_and_names_stay(run, tmp_path):
    page = page_of(run, tmp_path, language="zh")
    text = text_of(page)
    assert '<html lang="zh-CN">' in page and "行成功" in heading(page) and "谁来处理" in text
    assert "图片缺失 " in text and "image-missing" in text
    for english in ("image missing", "Who does what", "Findings before", "Excluded rows"):
        assert english not in text
    assert run.causes()["label"].str.contains("image missing").any(), "frames stay English"


def test_the_page_follows_the_readers_theme_and_paper(run, tmp_path):
    page = page_of(run, tmp_path)
    assert "prefers-color-scheme: dark" in page and "@media print" in page and 'name="viewport"' in page
    opened = re.sub(r"<details>.*?</details>", "", page, flags=re.S)
    assert opened.count("<table") == 0, "long tables are folded"
