"""Contact sheets and the fault sheet: what they show, and that no text from outside becomes markup."""

import re

import pandas as pd
import pytest
from images_made import encoded, photo

import imgprep as ip
from imgprep.core.errors import ConfigError
from imgprep.core.findings import findings_frame
from imgprep.core.text import shown
from imgprep.look.facts_cache import facts_frame
from imgprep.look.rules.book import rules_table
from imgprep.show.contact_sheet import sections_for_page
from imgprep.show.feedback import FOR_PHOTOGRAPHERS

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture
def root(tmp_path):
    for name in ("a.jpg", "b.jpg", "autumn/c.jpg", "autumn/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encoded(photo(hash(name) % 97)))
    return tmp_path


def some(**columns):
    return findings_frame([{"rule": "image-rotated", "severity": "error", "message": "m", "fix": "turn it", **columns}])


def test_a_contact_sheet_shows_each_image_once_with_its_products(root):
    catalogue = pd.DataFrame({"ProductId": ["1", "2", "3"], "PicName": ["a.jpg", "a.jpg", "b.jpg"]})
    sheet = ip.contact_sheet(catalogue, root)
    assert [(card.name, card.title) for card in sheet.sections[0].cards] == [("a.jpg", "1, 2"), ("b.jpg", "3")]
    assert sheet._repr_html_().count("data:image/jpeg") == 2


def test_only_the_images_of_the_page_are_opened(root, monkeypatch):
    opened = []
    from imgprep.show import contact_sheet as module

    whole = module.thumb_of
    monkeypatch.setattr(
        module, "thumb_of", lambda name, *args, **more: opened.append(name) or whole(name, *args, **more)
    )
    sheet = ip.contact_sheet([f"{number}.jpg" for number in range(100_000)], root, page=3, per_page=10)
    assert opened == [f"{number}.jpg" for number in range(20, 30)]
    assert (sheet.pages, repr(sheet)) == (10_000, "ContactSheet(100,000 images; page 3 of 10000)")


def test_regions_are_drawn_from_a_store_a_frame_or_a_mapping(root, tmp_path):
    region = ip.Region(x1=10, y1=10, x2=100, y2=100)
    store = ip.RegionStore(tmp_path / "r.db")
    store.put("a.jpg", region)
    plain = ip.contact_sheet(["a.jpg"], root)._repr_html_()
    drawn = {
        ip.contact_sheet(["a.jpg"], root, regions=each)._repr_html_()
        for each in (store, store.frame(), {"a.jpg": region})
    }
    assert len(drawn) == 1 and plain not in drawn


@pytest.mark.parametrize("call", [
    lambda root: ip.contact_sheet(["a.jpg"], root / "gone"),
    lambda root: ip.contact_sheet(pd.DataFrame({"x": [1]}), root),
    lambda root: ip.contact_sheet(["a.jpg"], root, page=2),
    lambda root: ip.contact_sheet(["a.jpg"], root, per_page=0),
    lambda root: ip.contact_sheet(some(PicName="a.jpg"), root, rules=["image-cmyk"]),
    lambda root: ip.write_feedback(some(PicName="a.jpg"), root / "f.html", root=root, by="("),
    lambda root: ip.write_feedback(some(PicName="a.jpg"), root / "f.html", root=root, rules=["category-unknown"]),
])  # fmt: skip
def test_bad_calls_are_refused(root, call):
    with pytest.raises(ConfigError):
        call(root)


def test_findings_have_a_section_per_rule_errors_first(root):
    found = pd.concat([
        findings_frame([{"rule": "w", "severity": "warning", "PicName": "a.jpg", "message": "m"}] * 3),
        some(PicName="b.jpg", row=7, ProductId="1"),
        findings_frame([{"rule": "none", "severity": "error", "message": "no picture here"}]),
    ])  # fmt: skip
    sheet = ip.contact_sheet(found, root, per_page=2)
    assert [(section.title, section.count, len(section.cards)) for section in sheet.sections] == [
        ("image-rotated", 1, 1), ("none", 1, 1), ("w", 3, 2),
    ]  # fmt: skip
    assert sheet.sections[0].remedy == "turn it"
    assert sheet.sections[0].cards[0].title == "1 · row 7"
    assert [section.title for section in ip.contact_sheet(found, root, per_page=2, page=2).sections] == ["w"]


def test_duplicates_are_shown_side_by_side(root):
    facts = facts_frame([{"PicName": name, "digest": "0"} for name in ("a.jpg", "b.jpg")])
    sheet = ip.contact_sheet(ip.find_duplicates(facts), root)
    assert [section.title for section in sheet.sections] == ["group 1: the same file"]
    assert [card.name for card in sheet.sections[0].cards] == ["a.jpg", "b.jpg"]


def test_duplicates_are_a_bounded_part_of_another_page_those_across_products_first(root):
    for number in range(30):
        (root / f"copy{number}.jpg").write_bytes(b"")
    facts = facts_frame(
        [{"PicName": f"copy{number}.jpg", "digest": f"{number // 2}"} for number in range(30)]
        + [{"PicName": name, "digest": "x"} for name in ("a.jpg", "b.jpg")]
    )
    catalogue = pd.DataFrame({"PicName": ["a.jpg", "b.jpg"], "ProductId": ["1", "2"]})
    sections, groups = sections_for_page(ip.find_duplicates(facts, catalogue), [root / "autumn", root], per_section=3)
    assert groups == 16, "all are counted"
    assert [section.title for section in sections] == ["group 1: the same file, 2 products"], (
        "the others cannot be shown"
    )
    assert [card.title for card in sections[0].cards] == ["1", "2"]
    assert sections_for_page(ip.find_duplicates(facts), []) == ([], 0)


def test_a_finding_about_a_region_draws_it(root):
    plain = ip.contact_sheet(some(PicName="a.jpg"), root).sections[0].cards[0].thumb
    drawn = (
        ip.contact_sheet(some(PicName="a.jpg", field="Region", value="10,100,10,100"), root).sections[0].cards[0].thumb
    )
    assert plain.data != drawn.data
    assert (
        ip.contact_sheet(some(PicName="a.jpg", field="Region", value="20,40"), root).sections[0].cards[0].thumb == plain
    )


def test_an_empty_sheet_has_a_note(root):
    assert "Nothing to show" in ip.contact_sheet(findings_frame(), root)._repr_html_()


def tags(page):
    return set(re.findall(r"<\s*([a-zA-Z!]+)", page))


def test_text_from_a_catalogue_cannot_act(root, tmp_path):
    found = some(PicName=EVIL, ProductId=EVIL, message=EVIL, fix=EVIL)
    twice = facts_frame([{"PicName": name, "digest": "0"} for name in (EVIL, "gone.jpg")])
    duplicates = ip.find_duplicates(twice, pd.DataFrame({"PicName": [EVIL], "ProductId": EVIL}))
    pages = [
        ip.contact_sheet([EVIL], root)._repr_html_(),
        ip.contact_sheet(found, root).write(tmp_path / "g.html").read_text(encoding="utf-8"),
        ip.write_feedback(found, tmp_path / "f.html", root=root, title=EVIL).read_text(encoding="utf-8"),
        ip.write_feedback(found, tmp_path / "f.html", root=root, by="(.*)").read_text(encoding="utf-8"),
        ip.contact_sheet(duplicates, root)._repr_html_(),
    ]
    for page in pages:
        assert "script" not in tags(page) and "img" not in tags(page)
        assert "&lt;script&gt;" in page
    assert "default-src 'none'" in pages[1] and "default-src 'none'" in pages[2]


def test_hidden_characters_are_made_visible_and_long_texts_bounded():
    assert shown("a\u202egpj.exe\u0000\n\nb") == "a⟨202E⟩gpj.exe⟨0000⟩ b"
    assert len(shown("x" * 1_000_000 + ".jpg")) == 160 and shown("x" * 1_000_000 + ".jpg").endswith("x")
    assert shown(pd.NA) == shown(None) == shown(float("nan")) == ""
    assert shown("=1+1") == "=1+1", "a formula is harmless on a page"


def test_feedback_lists_only_images_grouped_by_folder(root):
    found = pd.concat([
        some(PicName="autumn/c.jpg"), some(PicName="autumn/c.jpg"), some(PicName="b.jpg"),
        findings_frame([{"rule": "category-unknown", "severity": "error", "PicName": "a.jpg", "message": "no"}]),
    ])  # fmt: skip
    page = ip.write_feedback(found, root / "f.html", root=root).read_text(encoding="utf-8")
    assert re.findall(r"<h2><bdi>(.*?)</bdi>", page) == ["(no folder)", "autumn"]
    assert page.count("<figure") == 2, "the same fault of one image is listed once"
    assert "<bdi>c.jpg</bdi>" in page, "the folder is in the heading"
    assert FOR_PHOTOGRAPHERS["image-rotated"][1] in page and "category" not in page


def test_feedback_groups_by_a_pattern_and_lists_what_it_does_not_show(root):
    found = findings_frame(
        [{"rule": "image-missing", "severity": "error", "PicName": f"kim_{n:03}.jpg"} for n in range(300)]
    )
    page = ip.write_feedback(found, root / "f.html", root=root, by=r"^([a-z]+)_").read_text(encoding="utf-8")
    assert re.findall(r"<h2><bdi>(.*?)</bdi> <small>(.*?)</small>", page) == [("kim", "300 images")]
    assert page.count("<figure") == 24 and "kim_024.jpg" in page and "and 76 more" in page


def test_feedback_lists_products_without_any_image_too(root):
    found = findings_frame(
        [{"rule": "pic-name-missing", "severity": "error", "ProductId": f"P{n}", "message": "m"} for n in range(40)]
    )
    page = ip.write_feedback(found, root / "f.html", root=root).read_text(encoding="utf-8")
    assert "products without an image" in page and "P23" in page


def test_feedback_without_faults_has_a_note(root):
    assert "Thank you" in ip.write_feedback(findings_frame(), root / "f.html", root=root).read_text(encoding="utf-8")


def test_every_remedy_is_for_an_existing_rule():
    assert set(FOR_PHOTOGRAPHERS) <= set(rules_table()["rule"])
