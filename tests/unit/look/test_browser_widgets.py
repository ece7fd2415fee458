"""The findings browser and the match panel, without a browser: what the traits do is what a click would do."""

import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from images_made import encoded, photo

import imgprep as ip
from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.core.findings import findings_frame
from imgprep.load.matches import read_matches

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
def root(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(encoded(photo(3)))
    return tmp_path


@pytest.fixture
def findings():
    records = [
        {
            "rule": "image-rotated",
            "severity": "error",
            "row": n,
            "PicName": f"{n}.jpg",
            "ProductId": f"P{n}",
            "message": "m",
        }
        for n in range(1, 31)
    ]
    records += [{"rule": "image-cmyk", "severity": "warning", "row": 1, "PicName": "a.jpg", "message": "print"}]
    return findings_frame(records)


def ids(browser):
    return [card["id"] for card in browser._grid.cards]


def test_a_page_is_sent_and_not_everything(findings, root):
    browser = ip.FindingsBrowser(findings, root, per_page=10)
    assert ids(browser) == list(range(10))
    for _ in range(9):
        browser._pager.next.click()
    assert ids(browser) == [30] and "page 4 of 4" in browser._status.value
    browser._pager.back.click()
    assert ids(browser) == list(range(20, 30))


def test_filters_narrow_and_what_is_shown_is_selected(findings, root):
    browser = ip.FindingsBrowser(findings, root)
    assert len(browser.selected) == 31
    browser.filter(severity="warning")
    assert browser.selected["rule"].tolist() == ["image-cmyk"]
    browser.filter(severity="", rule="image-rotated", text="p2")
    assert browser.selected["ProductId"].tolist() == ["P2", *(f"P{n}" for n in range(20, 30))]
    browser.filter(text="(")
    assert browser.selected.empty and browser._grid.cards == []
    assert list(browser.selected.columns) == list(findings.columns)


def test_the_groups_count_what_the_other_filters_leave_and_clearing_shows_all(findings):
    browser = ip.FindingsBrowser(findings)

    def groups():
        return [(group["severity"], group["count"], group["rules"][0][:2]) for group in browser._rules.groups]

    assert groups() == [("error", 30, ("image-rotated", 30)), ("warning", 1, ("image-cmyk", 1))]
    assert browser._unfilter.disabled
    browser.filter(text="p2")
    assert groups() == [("error", 11, ("image-rotated", 11))]
    browser._rules.value = "image-rotated"
    browser.filter(text="print")  # no finding of the chosen rule: it stays, so that it can be left
    assert groups() == [("error", 0, ("image-rotated", 0)), ("warning", 1, ("image-cmyk", 1))]
    assert browser.selected.empty and "clear filters" in browser._grid.empty
    browser._unfilter.click()
    assert len(browser.selected) == 31 and browser._unfilter.disabled
    assert {card["severity"] for card in browser._grid.cards} == {"error"}


def test_fixes_are_previewed_for_the_ticked_findings_and_change_nothing():
    shop = pd.DataFrame(
        {"row": [1, 2], "ProductId": ["1", " 2<b>"], "PicName": ["/a.jpg", "b.jpg"], "CustomContent": ["k:v", "k:v"]}
    )
    browser = ip.FindingsBrowser(ip.check(shop), catalogue=shop)
    browser._preview.click()
    assert (
        "<b>2 changes</b> · 4 findings" in browser._opened.details.value
        and "␣2&lt;b&gt;" in browser._opened.details.value
    )
    assert browser.fixed["PicName"].tolist() == ["a.jpg", "b.jpg"]
    assert browser.fixed["ProductId"].tolist() == ["1", "2<b>"] and shop["ProductId"].tolist() == ["1", " 2<b>"]
    browser._grid.ticked = [n for n in ids(browser) if browser.shown["PicName"][n] == "/a.jpg"]
    browser._preview.click()
    assert "<b>1 change</b>" in browser._opened.details.value and browser.fixes["after"].tolist() == ["a.jpg"]
    without = ip.FindingsBrowser(ip.check(shop))
    without._preview.click()
    assert "the catalogue is missing" in without._opened.details.value


@pytest.mark.parametrize("wrong", [{"rule": "no-such"}, {"severity": "bad"}])
def test_an_unknown_filter_is_refused(findings, wrong):
    with pytest.raises(ConfigError):
        ip.FindingsBrowser(findings).filter(**wrong)


def test_ticks_outlive_pages_and_filters(findings, root):
    browser = ip.FindingsBrowser(findings, root, per_page=10)
    browser._grid.ticked = [2, 5]
    browser._pager.next.click()
    browser._grid.ticked = [11]
    browser.filter(severity="warning")
    assert browser.selected["row"].tolist() == [3, 6, 12]
    browser._all.click()
    assert browser.selected["row"].tolist() == [3, 6, 12, 1]
    browser.filter(severity="")
    assert browser._grid.ticked == [2, 5] and "4 ticked" in browser._status.value
    browser._none.click()
    assert len(browser.selected) == 31


def test_a_message_about_cards_of_another_page_is_ignored(findings, root):
    browser = ip.FindingsBrowser(findings, root, per_page=10)
    browser._grid.ticked = [5, 29, 1000, -3]
    browser._grid.opened = 999
    assert browser.selected["row"].tolist() == [6]
    assert "Click an image" in browser._opened.details.value


def test_the_opened_picture_comes_with_its_row(findings, root):
    catalogue = pd.DataFrame({"row": [1, 2], "title": ["Shirt", "Dress"], "PicName": ["a.jpg", "b.jpg"]})
    browser = ip.FindingsBrowser(findings, root, catalogue=catalogue, per_page=40)
    browser._grid.opened = 30
    assert bytes(browser._opened.picture.value).startswith(b"\xff\xd8") and "Shirt" in browser._opened.details.value
    browser._grid.opened = 0
    assert (
        browser._opened.picture.layout.display == "none" and "no file with this name" in browser._opened.details.value
    )
    browser.filter(rule="image-cmyk")
    assert browser.rows["title"].tolist() == ["Shirt"]
    with pytest.raises(ConfigError, match="catalogue"):
        _ = ip.FindingsBrowser(findings).rows


def test_text_from_a_catalogue_cannot_act(root):
    found = findings_frame(
        [{"rule": EVIL, "severity": "error", "row": 1, "PicName": EVIL, "ProductId": EVIL, "message": EVIL}]
    )
    catalogue = pd.DataFrame({"row": [1], EVIL: [EVIL + "x" * 100_000], "title": ["\u202egpj.exe"]})
    browser = ip.FindingsBrowser(found, root, catalogue=catalogue)
    browser._grid.opened = 0
    assert "<script" not in browser._opened.details.value and "<img" not in browser._opened.details.value
    assert "⟨202E⟩" in browser._opened.details.value and len(browser._opened.details.value) < 5_000
    assert max(len(text) for text in browser._grid.cards[0].values() if isinstance(text, str)) < 400


def test_nothing_found_and_no_folder_are_no_reason_to_fail(findings):
    assert ip.FindingsBrowser(findings_frame()).selected.empty
    assert ip.FindingsBrowser(findings)._grid.cards[0]["why"] == "no image folder was given"
    with pytest.raises(ConfigError, match="per_page"):
        ip.FindingsBrowser(findings, per_page=0)


def test_its_text_is_the_same_every_time(findings):
    assert repr(ip.FindingsBrowser(findings)) == "FindingsBrowser(31 findings, 31 shown, 0 ticked)"


@pytest.fixture
def panel(tmp_path):
    folder, old = tmp_path / "shoot", tmp_path / "old"
    for where, name in ((folder, "IMG_1.jpg"), (folder, "IMG_2.jpg"), (folder, "A_1.jpg"), (old, "a.jpg")):
        where.mkdir(exist_ok=True)
        (where / name).write_bytes(encoded(photo(5)))
    (folder / "IMG_3.jpg").write_bytes(b"")
    catalogue = pd.DataFrame(
        {"ProductId": ["A", "B", EVIL], "title": ["Shirt", "Dress", EVIL], "PicName": ["a.jpg", None, None]}
    )
    matches = ip.match_files(folder, catalogue)
    return ip.MatchPanel(matches, folder, catalogue, earlier=old, path=tmp_path / "map.jsonl")


def state(panel):
    return dict(zip(panel.matches["file"], panel.matches["state"], strict=True))


def test_only_what_is_undecided_is_asked(panel):
    assert [card["name"] for card in panel._files.cards] == ["IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg"]
    assert panel._file == "IMG_1.jpg" and panel._opened.picture.value


def test_a_single_candidate_that_is_not_taken_has_a_reason(panel):
    record = panel.matches.iloc[0].copy()
    record["state"], record["candidates"], record["confidence"] = "ambiguous", ["A"], 0.55
    assert panel._doubt(record) == "the only candidate, but its confidence is 55%"


def test_a_search_offers_products_and_a_click_decides(panel, tmp_path):
    panel._search.value = "dre"
    assert [card["name"] for card in panel._offers.cards] == ["B"]
    panel._offers.opened = 0
    assert state(panel)["IMG_1.jpg"] == "chosen" and panel._file == "IMG_2.jpg"
    assert panel.matches.set_index("file").loc["IMG_1.jpg", "ProductId"] == "B"
    pd.testing.assert_frame_equal(read_matches(tmp_path / "map.jsonl"), pd.DataFrame(panel.matches))


def test_the_earlier_picture_stands_beside_the_product(panel):
    panel._search.value = "shirt"
    assert panel._offers.cards[0]["uri"].startswith("data:image/jpeg")


def test_each_decision_can_be_undone(panel):
    before = panel.matches
    panel.choose("IMG_2.jpg", "A")
    panel._none.click()
    assert state(panel)["IMG_1.jpg"] == "set aside"
    panel._undo.click()
    panel._undo.click()
    pd.testing.assert_frame_equal(before, panel.matches)
    panel._undo.click()
    assert panel._undo.disabled


def test_the_last_decision_leaves_nothing_to_do(panel):
    for file in ("IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg"):
        panel.choose(file, None)
    assert panel._files.cards == [] and panel._none.disabled
    assert repr(panel) == "MatchPanel(4 files, 0 to decide)"
    panel._none.click()


def test_an_unknown_product_is_refused(panel):
    with pytest.raises(CatalogueError, match="is not in the catalogue"):
        panel.choose("IMG_1.jpg", "Z")


def test_hostile_titles_are_text_in_the_panel(panel):
    panel._search.value = "script"
    assert panel._offers.cards[0]["title"].startswith("<script>"), "set as text in the browser, see cards.mjs"
    assert not re.search(r"<(script|img)", panel._opened.details.value)


def test_the_cards_under_node():
    playwright = pytest.importorskip("playwright")
    node = Path(playwright.__file__).parent / "driver" / "node"
    if not node.exists():
        pytest.skip("no node")
    file = Path(__file__).parents[2] / "browser" / "cards.test.mjs"
    done = subprocess.run([node, "--test", file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
