"""Every rule finds its fault and nothing beside it; settings, order, summary and fixes."""

import pandas as pd
import polars as pl
import pytest

from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.core.fields import FIELD_NAMES, SEARCH_CATEGORY, Service
from imgprep.core.regions import Region
from imgprep.look.field_fixes import apply_fixes, undo_fixes
from imgprep.look.rules import sheet as sheets
from imgprep.look.rules.book import RULES, check, check_sheet, rules_table, tally_rules, unwritable
from imgprep.look.rules.rule import _filled

FINE = {"ProductId": "1", "PicName": "a.jpg", "CategoryId": "0", "CustomContent": "k:v"}
FACT = {
    "exists": True,
    "bytes": 1000,
    "format": "JPEG",
    "width": 640,
    "height": 480,
    "mode": "RGB",
    "frames": 1,
    "orientation": 1,
    "digest": "d",
    "decodes": True,
    "problem": None,
    "detail": None,
}


def rows(*changes, **columns):
    records = [{**FINE, **columns, **change} for change in changes]
    frame = pd.DataFrame(records)
    return frame.astype({name: "str" for name in frame.columns if name in FIELD_NAMES})


def facts(**changes):
    frame = pd.DataFrame([{"PicName": "a.jpg", **FACT, **changes}])
    return frame.astype({"problem": "str", "detail": "str", "format": "str", "mode": "str", "digest": "str"})


def ids(found):
    return found["rule"].tolist()


# rule → (values that fail, values that come close and pass)
ROW_CASES = {
    "operation-unknown": ([{"OperationType": v} for v in ("add", "UPDATE", "")], [{"OperationType": "ADD"}, {}]),
    "product-id-missing": ([{"ProductId": None}, {"ProductId": ""}], [{"ProductId": "0"}]),
    "product-id-too-long": ([{"ProductId": "p" * 257}], [{"ProductId": "p" * 256}, {"ProductId": "é" * 256}]),
    "product-id-spaces": ([{"ProductId": " 1"}, {"ProductId": "1\u3000"}], [{"ProductId": "a b"}]),
    "product-id-control-character": ([{"ProductId": "a\nb"}], [{"ProductId": "a-b"}]),
    "product-id-damaged": (
        [{"ProductId": v} for v in ("#NAME?", "1.23E+12", "'0012", "#N/A")],
        [{"ProductId": v} for v in ("1E12", "12.5", "#12", "0012")],
    ),
    "product-id-date": (
        [
            {"ProductId": v}
            for v in (
                "1-Mar",
                "Mar-01",
                "01. Mrz",
                "3/1/2024",
                "2024-03-01",
                "3月1日",
                "2024年3月1日",
                "2024-03-01 00:00:00",
            )
        ],
        [{"ProductId": v} for v in ("MAR1", "3-1", "1-MARE", "20240301", "2024-13", "12.5", "Mar-01-XL", "5/6")],
    ),
    "category-not-integer": ([{"CategoryId": v} for v in ("x", "3.0", " 3", "")], [{"CategoryId": "+3"}]),
    "category-unknown": ([{"CategoryId": v} for v in ("10", "-1", "9" * 30)], [{"CategoryId": "88888888"}]),
    "category-missing": ([{"CategoryId": None}], [{}]),
    "int-attr-not-integer": ([{"IntAttr": v} for v in ("12.5", "1,000", "")], [{"IntAttr": "-5"}, {}]),
    "int-attr-range": (
        [{"IntAttr": v} for v in ("2147483648", "-2147483649", "9" * 40)],
        [{"IntAttr": "2147483647"}, {"IntAttr": "-2147483648"}],
    ),
    "str-attr-too-long": ([{"StrAttr": "s" * 129}], [{"StrAttr": "山" * 128}]),
    "str-attr-spaces": ([{"StrAttr": "red "}], [{"StrAttr": "light red"}]),
    "str-attr-characters": ([{"StrAttr": v} for v in ("a\\b", "¥5", "5%", "a&b")], [{"StrAttr": "a-b"}]),
    "str-attr-empty": ([{"StrAttr": ""}], [{"StrAttr": "0"}, {}]),
    "str-attr-html-entity": ([{"StrAttr": "H&amp;M"}], [{"StrAttr": "H-M;"}]),
    "custom-content-html-entity": (
        [{"CustomContent": v} for v in ("Mug&trade;", "5 &#8364;", "&#x20AC;")],
        [{"CustomContent": v} for v in ("a & b; c", "?a=1&b=2")],
    ),
    "custom-content-missing": ([{"CustomContent": None}], [{"CustomContent": ""}]),
    "custom-content-empty": ([{"CustomContent": ""}], [{"CustomContent": "NA"}]),
    "custom-content-too-long": ([{"CustomContent": "c" * 4097}], [{"CustomContent": "山" * 4096}]),
    "crop-not-boolean": ([{"Crop": v} for v in ("yes", "0", "")], [{"Crop": "true"}, {"Crop": "FALSE"}, {}]),
    "pic-name-missing": ([{"PicName": None}, {"PicName": ""}], [{"PicName": "x.jpg"}]),
    "delete-empty-pic-name": (
        [{"OperationType": "DELETE", "PicName": ""}, {"OperationType": "DELETE", "PicName": " "}],
        [{"OperationType": "DELETE", "PicName": "a.jpg"}, {"OperationType": "DELETE", "PicName": None}],
    ),
    "delete-whole-product": (
        [{"OperationType": "DELETE", "PicName": None}],
        [{"OperationType": "DELETE", "PicName": "a.jpg"}],
    ),
    "pic-name-too-long": ([{"PicName": "n" * 253 + ".jpg"}], [{"PicName": "山" * 252 + ".jpg"}]),
    "pic-name-spaces": ([{"PicName": " a.jpg"}], [{"PicName": "a b.jpg"}]),
    "pic-name-control-character": ([{"PicName": "a\tb.jpg"}], [{"PicName": "a b.jpg"}]),
    "pic-name-hidden-character": (
        [{"PicName": v} for v in ("a\u202egpj.jpg", "a\u200b.jpg", "\ufeffa.jpg")],
        [{"PicName": v} for v in ("a b.jpg", "山茶.jpg", "é.jpg")],
    ),
    "pic-name-not-on-windows": (
        [
            {"PicName": v}
            for v in ("CON.jpg", "aux.x.jpg", "x/nul.png", "lpt1/a.jpg", "a?v=2.jpg", "a:b.jpg", "x./a.jpg")
        ],
        [
            {"PicName": v}
            for v in ("console.jpg", "xcon.jpg", "com10.jpg", "a/con1.jpg", "a.b.jpg", "https://s/a.jpg", "../a.jpg")
        ],
    ),
    "pic-name-slash": ([{"PicName": v} for v in ("/a.jpg", "a/b.jpg/")], [{"PicName": "x/a.jpg"}]),
    "pic-name-edge-backslash": ([{"PicName": v} for v in ("\\a.jpg", "a.jpg\\")], [{"PicName": "x\\a.jpg"}]),
    "pic-name-backslash": ([{"PicName": "x\\a.jpg"}], [{"PicName": "x/a.jpg"}]),
    "pic-name-dotdot": (
        [{"PicName": v} for v in ("../a.jpg", "x/../a.jpg", "./a.jpg", "x/..", "x\\..\\a.jpg")],
        [{"PicName": v} for v in ("a..jpg", "x../a.jpg", "..a.jpg")],
    ),
    "pic-name-double-slash": ([{"PicName": "x//a.jpg"}], [{"PicName": "x/y/a.jpg"}]),
    "pic-name-url": ([{"PicName": "https://shop/a.jpg"}], [{"PicName": "https/a.jpg"}]),
    "pic-name-several": (
        [{"PicName": v} for v in ("a.jpg,b.jpg", "a.png; b.jpg", "a.jpg|b.WEBP")],
        [{"PicName": v} for v in ("a,b.jpg", "a.jpg,v2.zip")],
    ),
    "pic-name-no-extension": (
        [{"PicName": v} for v in ("a", "x.y/a", ".jpg", "a.", "x/.jpg")],
        [{"PicName": v} for v in ("a.jpg", "x/a.b.jpg", "山.png")],
    ),
    "pic-name-extension": ([{"PicName": "a.svg"}, {"PicName": "a.jpg2"}], [{"PicName": "a.JPEG"}, {"PicName": "a"}]),
    "pic-name-is-meta": ([{"PicName": "increment.meta"}], [{"PicName": "x/increment.meta"}]),
    "key-too-long": ([{"PicName": "山" * 340 + ".jpg"}], [{"PicName": "n" * 250 + ".jpg"}]),
    "pic-name-folder": ([{"PicName": "x/a.jpg"}], [{"PicName": "a.jpg"}]),
    "region-format": (
        [{"Region": v} for v in ("1,2,3", "1,2,3,4,5", "a,2,3,4", "1.0,2,3,4", "1, 2,3,4", "")],
        [{"Region": "1,2,3,4"}, {}],
    ),
    "region-empty": ([{"Region": v} for v in ("5,5,1,2", "40,20,1,2", "-1,5,1,2")], [{"Region": "0,1,0,1"}]),
    "crop-with-region": (
        [{"Crop": "false", "Region": "1,2,3,4"}],
        [{"Crop": "true", "Region": "1,2,3,4"}, {"Crop": "false"}],
    ),
}


@pytest.mark.parametrize("rule", ROW_CASES)
def test_a_row_rule_finds_its_fault_and_nothing_beside_it(rule):
    fails, passes = ROW_CASES[rule]
    # Products of their own, so that no row disturbs another.
    cases = [{"ProductId": f"p{place}", **change} for place, change in enumerate([*fails, *passes])]
    found = check(rows(*cases))
    assert found.loc[found["rule"] == rule, "row"].tolist() == list(range(1, len(fails) + 1))


# rule → (facts that fail, facts that come close and pass)
PICTURE_CASES = {
    "image-missing": ([{"exists": False}, {"problem": "missing"}, {"PicName": "b.jpg"}], [{}]),
    "image-outside-root": ([{"problem": "outside_root", "exists": False}], [{}]),
    "image-empty": ([{"bytes": 0, "problem": "empty"}], [{"bytes": 1}]),
    "image-unreadable": ([{"problem": "truncated"}, {"decodes": False}, {"problem": "bomb"}], [{"decodes": None}]),
    "image-too-heavy": ([{"bytes": 4_194_305}], [{"bytes": 4_194_304}]),
    "image-format": ([{"format": "JPEG2000"}, {"format": "ICO"}], [{"format": "MPO"}, {"format": "PPM"}]),
    "image-too-small": ([{"width": 99}, {"height": 99}], [{"width": 100, "height": 100}]),
    "image-too-large": ([{"width": 4097}, {"height": 4097}], [{"width": 4096, "height": 4096}]),
    "image-rotated": ([{"orientation": 6}, {"orientation": 2}], [{"orientation": 1}]),
    "image-several-pictures": ([{"frames": 2}, {"format": "MPO"}], [{"frames": 1}]),
    "image-cmyk": ([{"mode": "CMYK"}], [{"mode": "L"}]),
    "image-deep": ([{"mode": "I;16"}], [{"mode": "P"}]),
    "image-transparent": ([{"mode": "RGBA"}], [{"mode": "RGB"}]),
    "image-narrow": ([{"width": 1601, "height": 400}], [{"width": 1600, "height": 400}]),
    "image-extension-differs": ([{"format": "PNG"}], [{"format": "JPEG"}, {"format": "MPO"}]),
}


@pytest.mark.parametrize("rule", PICTURE_CASES)
def test_a_picture_rule_finds_its_fault_and_nothing_beside_it(rule):
    fails, passes = PICTURE_CASES[rule]
    for change in [*fails, *passes]:
        assert (rule in ids(check(rows({}), facts(**change)))) == (change in fails), change


def test_a_file_of_a_name_that_looks_like_several_is_one_image():
    shop = rows({"PicName": "a.jpg,b.jpg"})
    assert "pic-name-several" in ids(check(shop))
    assert "pic-name-several" in ids(check(shop, facts(PicName="a.jpg,b.jpg", exists=False)))
    assert "pic-name-several" not in ids(check(shop, facts(PicName="a.jpg,b.jpg")))


BATCH_CASES = {
    "duplicate-key": [{}, {}],
    "duplicate-conflict": [{}, {"CategoryId": "1"}],
    "add-and-delete": [{}, {"OperationType": "DELETE"}],
    "add-and-product-delete": [{}, {"OperationType": "DELETE", "PicName": None}],
    "pic-name-case-twins": [{}, {"ProductId": "2", "PicName": "A.jpg"}],
}


@pytest.mark.parametrize("rule", BATCH_CASES)
def test_rows_that_disturb_each_other_are_found_and_rows_of_another_product_are_not(rule):
    both = rows(*BATCH_CASES[rule], OperationType="ADD")
    found = check(both)
    assert found.loc[found["rule"] == rule, "row"].tolist() == ([2] if rule == "duplicate-key" else [1, 2])
    apart = both.assign(ProductId=["1", "9"], PicName=["a.jpg", both["PicName"][1] and "b.jpg"])
    assert rule not in ids(check(apart))


def test_record_numbers_of_concatenated_exports_make_one_finding():
    one = rows({}, {"ProductId": "2"}, {"ProductId": "2", "PicName": "b.jpg"}).assign(row=[1, 2, 2])
    other = rows({"ProductId": "8"}, {"ProductId": "9"}).assign(row=[1, 2])
    found = check(pd.concat([one, other]))
    assert found["rule"].tolist() == ["row-numbers-shared"] and found["row"].isna().all()
    assert found["message"].tolist() == ['2 record numbers belong to different products, such as 1 to "1" and "8"']
    assert check(one).empty and check(one.iloc[::-1]).empty
    assert check(pd.concat([one, other]).assign(row=range(1, 6))).empty


def test_a_sheet_that_was_made_once_gives_the_findings_of_check():
    shop = rows(*[change for fails, _ in ROW_CASES.values() for change in fails])
    sheet = sheets.make_sheet(shop, facts(), limits={"pic_name_chars": 200})
    for severity in (None, {"pic-name-slash": "off"}):
        wanted = check(shop, facts(), limits={"pic_name_chars": 200}, severity=severity)
        found = check_sheet(sheet, severity)
        pd.testing.assert_frame_equal(wanted, found)
        pd.testing.assert_frame_equal(found.attrs["ran"], wanted.attrs["ran"])


def test_rows_that_no_line_can_carry_are_known_by_the_same_rules():
    cases = [
        ("operation-unknown", {"OperationType": "UPDATE", "ProductId": ""}),
        ("product-id-missing", {"ProductId": None}),
        ("pic-name-missing", {"PicName": ""}),
        ("delete-empty-pic-name", {"OperationType": "DELETE", "PicName": " "}),
        ("category-not-integer", {"CategoryId": "x"}),
        ("int-attr-not-integer", {"IntAttr": "9" * 40}),
        ("crop-not-boolean", {"Crop": "yes"}),
        (None, {"OperationType": "DELETE", "PicName": None}),
        (None, {"CategoryId": "17", "Region": "1,2", "PicName": "/a"}),
    ]
    sheet = sheets.make_sheet(rows(*[change for _, change in cases]))
    assert sheet.rows.select(unwritable(sheet)).to_series().to_list() == [rule for rule, _ in cases]


def test_a_rule_about_attributes_covers_all_of_a_kind_under_one_id():
    for rule in ("int-attr-not-integer", "int-attr-range", "str-attr-too-long", "str-attr-spaces", "str-attr-empty"):
        kind = "StrAttr" if rule.startswith("str") else "IntAttr"
        bad = next(iter(ROW_CASES[rule][0][0].values()))
        found = check(rows(*({kind + number: bad, "PicName": f"{number}.jpg"} for number in ("", "2", "3", "4"))))
        found = found[found["rule"] == rule]
        assert found["field"].tolist() == [kind + number for number in ("", "2", "3", "4")]
        assert all(field in text for field, text in zip(found["field"], found["message"], strict=True))
        assert check(rows({kind + "4": bad}), severity={rule: "off"})["rule"].ne(rule).all()
    table = rules_table().set_index("rule")
    assert table.loc["str-attr-characters", "field"] == "StrAttr, StrAttr2, StrAttr3, StrAttr4"


def test_both_attributes_of_one_row_are_found_and_fixed_each_on_its_own():
    shop = rows({"IntAttr": "x", "IntAttr2": "5.0", "IntAttr3": "6.0"})
    found = check(shop)
    assert found["field"].tolist() == ["IntAttr", "IntAttr2", "IntAttr3"] and found["rule"].nunique() == 1
    fixed, log = apply_fixes(shop, found[found["field"] == "IntAttr3"])
    assert fixed.loc[0, ["IntAttr", "IntAttr2", "IntAttr3"]].tolist() == ["x", "5.0", "6"]
    assert log["field"].tolist() == ["IntAttr3"]


def test_a_missing_category_says_what_setting_one_asks_of_searches():
    found = check(rows({"CategoryId": None}))
    assert found["rule"].tolist() == ["category-missing"] and found["fix"][0].endswith(SEARCH_CATEGORY)


def test_every_rule_has_a_case_here():
    elsewhere = {"region-outside", "region-stale", "region-unverified", "region-order-suspect", "image-placeholder"}
    elsewhere |= {"file-unnamed", "row-numbers-shared", "service-unknown"}
    assert {rule.id for rule in RULES} == {*ROW_CASES, *PICTURE_CASES, *BATCH_CASES, *elsewhere}


def test_a_fine_row_has_no_findings_and_rules_say_how_many_rows_they_saw():
    found = check(rows({}, {"PicName": "b.jpg"}), pd.concat([facts(), facts(PicName="b.jpg", digest="e")]))
    assert found.empty
    ran = found.attrs["ran"].set_index("rule")
    assert ran.loc["image-rotated", "rows"] == 2
    assert ran.loc["region-stale", "why"] == "no regions"
    assert set(ran.index) == {rule.id for rule in RULES}


def test_without_facts_no_image_is_called_fine_or_missing():
    ran = check(rows({})).attrs["ran"].set_index("rule")
    assert ran.loc["image-missing", ["rows", "why"]].tolist() == [0, "no facts"]


@pytest.mark.parametrize(
    ("service", "width", "rule"),
    [
        ("fabric", 447, "image-too-small"),
        ("trademark", 199, "image-too-small"),
        ("trademark", 4096, "image-too-large"),
        ("fabric", 4096, None),
        ("generic", 100, None),
        ("generic", 99, "image-too-small"),
        ("furniture", 99, "image-too-small"),
        ("hardware", 4097, "image-too-large"),
        ("product", 4096, None),
    ],
)
def test_image_limits_follow_the_service_type(service, width, rule):
    found = check(rows({}), facts(width=width, height=1200), service=service)
    assert [name for name in ids(found) if name.startswith("image-too")] == ([rule] if rule else [])


def test_the_category_is_a_note_where_the_service_overwrites_it():
    found = check(rows({"CategoryId": "17"}), service="generic")
    assert found["severity"].tolist() == ["info"]


def test_every_service_type_has_every_rule_and_an_unknown_one_names_the_nearest():
    wanted = {rule.id for rule in RULES}
    for service in Service:
        assert set(check(rows({}), service=service).attrs["ran"]["rule"]) == wanted
    with pytest.raises(ConfigError, match="did you mean fabric"):
        check(rows({}), service="fabrik")


def test_an_unknown_service_type_warns_and_is_checked_by_what_all_types_share():
    found = check(rows({"CategoryId": "17"}, {"PicName": "/b.jpg"}), facts(width=99), service="video")
    shared = found.set_index("rule")["severity"]
    assert shared[["service-unknown", "category-unknown", "pic-name-slash", "image-too-small"]].tolist() == [
        *("warning", "info", "error", "error")
    ]
    assert 'service type "video" is unknown' in found["message"][0] and "multimodal" in found["fix"][0]


@pytest.mark.parametrize("service", ["copyright", "multimodal"])
def test_a_type_whose_limits_are_undocumented_is_checked_by_what_all_types_share(service):
    found = check(rows({"CategoryId": "17"}), facts(width=99), service=service).set_index("rule")["severity"]
    assert found.drop("image-narrow").to_dict() == {"category-unknown": "info", "image-too-small": "error"}


def test_a_region_is_judged_in_the_upright_frame():
    sideways = facts(orientation=6)  # stored 640 × 480, upright 480 × 640
    assert "region-outside" not in ids(check(rows({"Region": "0,480,0,640"}), sideways))
    assert "region-outside" in ids(check(rows({"Region": "0,640,0,480"}), sideways))


def test_the_message_on_a_swapped_region_names_the_other_order():
    found = check(rows({"Region": "300,20,400,460"}), facts()).set_index("rule")
    assert "x1,y1,x2,y2 it would fit" in found.loc["region-empty", "message"]


def test_a_batch_of_swapped_regions_betrays_the_ones_that_fit_both_ways():
    names = [f"{n}.jpg" for n in range(5)]
    shop = rows(*[{"PicName": name} for name in names]).assign(
        Region=["300,20,400,460", "200,20,400,460", "310,20,400,460", "20,300,200,460", "20,300,200,460"]
    )
    sizes = pd.concat([facts(PicName=name, digest=name) for name in names])
    found = check(shop, sizes)
    assert found.loc[found["rule"] == "region-order-suspect", "row"].tolist() == [4, 5]


def test_a_swapped_batch_is_found_without_the_images_too():
    regions = [f"{400 + n},20,{500 + n},460" for n in range(8)] + ["20,300,200,460"]
    shop = rows(*[{"PicName": f"{n}.jpg"} for n in range(9)]).assign(Region=regions)
    found = check(shop).set_index("rule")
    assert found.loc[["region-order-suspect"], "row"].tolist() == [9]
    assert "8 of 8 decisive regions" in found.loc["region-order-suspect", "message"]


def test_a_placeholder_on_many_products_is_found():
    shop = pd.DataFrame([{**FINE, "ProductId": str(n), "PicName": f"{n}.jpg"} for n in range(10)])
    looks = pd.concat([facts(PicName=f"{n}.jpg", digest="same") for n in range(10)])
    (found,) = check(shop, looks).to_dict("records")
    assert found["rule"] == "image-placeholder" and found["value"] == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    table = tally_rules(check(shop, looks)).set_index("rule")
    assert table.loc["image-placeholder", ["count", "rows", "share"]].tolist() == [1, 10, 1.0]
    # As an error it keeps every row from being sent.
    assert ids(check(shop, looks, severity={"image-placeholder": "error"})) == ["image-placeholder"] * 10
    assert check(shop, looks, limits={"placeholder_products": 11}).empty


def test_unicode_twins_are_found():
    shop = rows({"PicName": "caf\u00e9.jpg"}, {"PicName": "cafe\u0301.jpg", "ProductId": "2"})
    assert ids(check(shop)) == ["pic-name-case-twins"] * 2


def drawn(**changes):
    row = {"PicName": "a.jpg", "ProductId": None, "state": "region", "x1": 10, "y1": 20, "x2": 110, "y2": 220}
    frame = pd.DataFrame([{**row, "digest": "d", "width": 640, "height": 480, **changes}])
    return frame.astype({"ProductId": "str", "digest": "str", "width": "Int64", "height": "Int64"})


def test_a_region_of_another_image_is_stale_and_one_without_digest_goes_by_size():
    assert ids(check(rows({}), facts(), regions=drawn())) == []
    assert ids(check(rows({}), facts(), regions=drawn(digest="old"))) == ["region-stale"]
    assert ids(check(rows({}), facts(), regions=drawn(digest=None))) == []
    assert ids(check(rows({}), facts(), regions=drawn(digest=None, width=10, height=10))) == ["region-stale"]
    assert ids(check(rows({}), facts(), regions=drawn(digest=None, width=None, height=None))) == ["region-unverified"]


def test_what_was_drawn_wins_over_the_catalogue():
    whole = drawn(state="whole", x1=None, y1=None, x2=None, y2=None)
    assert ids(check(rows({"Region": "9,1,9,1"}), facts(), regions=whole)) == []
    assert ids(check(rows({"Region": "9,1,9,1"}), facts(), regions=drawn(PicName="z.jpg"))) == ["region-empty"]


def test_a_region_that_is_scaled_onto_a_copy_is_inside_it():
    log = pd.DataFrame(
        [
            {
                "PicName": "a.jpg",
                "new_name": "a-1.jpg",
                "source_digest": "d",
                "digest": "c",
                "scale_x": 0.5,
                "scale_y": 0.5,
            }
        ]
    ).assign(action="converted", width=320, height=240)
    copies = facts(PicName="a-1.jpg", width=320, height=240, digest="c")
    edge = drawn(x2=640, y2=480)
    assert ids(check(rows({}), copies, prepared=log, regions=edge)) == []
    assert ids(check(rows({}), copies, prepared=log, regions=drawn(x2=641, y2=480, digest="c"))) == ["region-outside"]
    assert ids(check(rows({"Region": "0,642,0,480"}), copies, prepared=log)) == ["region-outside"]


def test_native_values_are_read_like_text():
    native = pd.DataFrame(
        {
            "line": [1, 2],
            "ProductId": ["1", "2"],
            "PicName": ["a.jpg", "b.jpg"],
            "CategoryId": [3.0, None],
            "IntAttr": pd.array([5, None], dtype="Int64"),
            "CustomContent": ["k:v", "k:v"],
            "Crop": pd.array([True, None], dtype="boolean"),
            "Region": [Region(x1=1, y1=2, x2=3, y2=4), None],
        }
    )
    found = check(native)
    assert ids(found) == ["category-missing"]
    assert found["line"].tolist() == [2] and found["row"].isna().all()
    assert ids(check(native.assign(CategoryId=[3.5, None]))) == ["category-not-integer", "category-missing"]


def test_findings_come_by_row_and_in_one_order():
    shop = rows({"PicName": "/b"}, {"ProductId": None, "PicName": "/c"})
    found = check(shop)
    assert found["row"].tolist() == sorted(found["row"])
    pd.testing.assert_frame_equal(found, check(shop))
    order = [rule.id for rule in RULES]
    for _, part in found.groupby("row"):
        assert [order.index(rule) for rule in part["rule"]] == sorted(order.index(rule) for rule in part["rule"])


def test_the_shop_sets_severities_and_limits_and_typos_are_refused():
    shop = rows({"CustomContent": None, "PicName": "x/a.jpg"})
    found = check(shop, severity={"custom-content-missing": "warning", "pic-name-folder": "off"})
    assert found[["rule", "severity"]].values.tolist() == [["custom-content-missing", "warning"]]
    assert found.attrs["ran"].set_index("rule").loc["pic-name-folder", "why"] == "off"
    with pytest.raises(ConfigError, match="did you mean image-rotated"):
        check(shop, severity={"image-rotate": "info"})
    with pytest.raises(ConfigError, match="did you mean warning"):
        check(shop, severity={"image-rotated": "warnings"})
    with pytest.raises(ConfigError, match="did you mean aspect_ratio"):
        check(shop, limits={"aspect-ratio": 3})
    with pytest.raises(ConfigError, match="must be a number"):
        check(shop, limits={"aspect_ratio": "3"})
    with pytest.raises(ConfigError, match="did you mean product"):
        check(shop, service="products")
    with pytest.raises(ConfigError, match="regions"):
        check(shop, regions=3)
    for table, source in (("facts", "inspect_images"), ("prepared", "prepare_images"), ("files", "match_names")):
        with pytest.raises(ConfigError, match=f"{table}: the frame has no PicName column; pass what {source}"):
            check(shop, **{table: pd.DataFrame({"how": ["exact"], "file": ["a.jpg"]})})
    with pytest.raises(CatalogueError, match="column PicName appears twice"):
        check(pd.DataFrame([["a", "b"]], columns=["PicName", "PicName"]))


def test_an_empty_catalogue_and_one_without_known_columns_can_be_checked():
    assert check(rows({}).iloc[:0], facts(), regions=drawn()).empty
    assert set(ids(check(pd.DataFrame({"x": [1]})))) >= {"product-id-missing", "pic-name-missing"}


def test_thousands_of_notes_become_one_without_a_row():
    shop = pd.DataFrame([{**FINE, "PicName": f"x/{n}.jpg"} for n in range(30)])
    found = check(shop, limits={"info_rows": 20})
    assert found["message"].str.startswith("30 rows: ").tolist() == [True]
    assert found["row"].isna().all()


def test_plain_texts_are_set_aside_without_losing_a_fault(monkeypatch):
    shop = rows(*[change for fails, _ in ROW_CASES.values() for change in fails])
    found = check(shop)
    everything = {name: (column, r"^\b$") for name, (column, _) in sheets.PLAIN.items()}
    monkeypatch.setattr(sheets, "PLAIN", everything)
    pd.testing.assert_frame_equal(check(shop), found)


def test_many_failing_rows_of_several_chunks_get_their_texts():
    part = pl.DataFrame({"PicName": [f"/images/{n}.jpg" for n in range(300)] + ["a.jpg"] * 500})
    shop = pd.concat([part.to_pandas()] * 3, ignore_index=True).assign(ProductId="1", CustomContent="k:v")
    found = check(shop, severity={"duplicate-key": "off"})
    assert found.loc[found["rule"] == "pic-name-slash", "fix"].nunique() == 300


def test_summary_counts_and_shows():
    found = check(rows({"PicName": "a"}, {"PicName": "b"}, {}, {"ProductId": "2", "PicName": "/c.jpg"}))
    table = tally_rules(found).set_index("rule")
    assert table.loc["pic-name-no-extension", ["count", "rows", "share"]].tolist() == [2, 2, 0.5]
    assert table.loc["pic-name-no-extension", "examples"] == "row 1 1 a; row 2 1 b"
    assert tally_rules(found, rows=8)["share"].max() == 0.25
    assert tally_rules(check(rows({}))).empty


def test_fixes_are_mechanical_logged_and_taken_back():
    shop = rows(
        {"ProductId": " 1 ", "PicName": "/x//a.jpg", "CategoryId": " 3.0", "Crop": "no", "Region": "[1, 2,3,4]"},
        {"StrAttr": "", "IntAttr": "", "PicName": "b.jpg"},
        {"PicName": "c", "OperationType": "add"},
    ).assign(row=[5, 5, 6])
    found = check(shop)
    fixed, log = apply_fixes(shop, found)
    first = fixed.iloc[0]
    assert first[["ProductId", "PicName", "CategoryId", "Crop", "Region"]].tolist() == [
        "1",
        "x/a.jpg",
        "3",
        "false",
        "1,2,3,4",
    ]
    assert fixed["OperationType"].tolist()[2] == "ADD"
    assert fixed.loc[1, ["StrAttr", "IntAttr"]].isna().all()
    assert fixed.loc[2, "PicName"] == "c"
    assert not check(fixed)["fixable"].any()
    assert log["row"].tolist().count(6) == 1
    pd.testing.assert_frame_equal(undo_fixes(fixed, log), shop)
    with pytest.raises(CatalogueError, match="row 5"):
        undo_fixes(shop, log)


def test_a_missing_value_is_not_quoted():
    messages = check(rows({"ProductId": None, "PicName": "a.jpg", "CategoryId": None}))["message"].tolist()
    assert "ProductId is missing; every line needs one" in messages
    assert "CategoryId is missing: the service predicts one from the image" in messages


def test_an_export_with_its_own_column_line_is_checked_and_fixed_by_row():
    shop = rows({"PicName": "/a.jpg"}, {"PicName": "b.jpg"}).assign(line=["Outlet", "7"])
    found = check(shop)
    assert found["line"].isna().all()
    fixed, log = apply_fixes(shop, found)
    assert fixed["PicName"].tolist() == ["a.jpg", "b.jpg"] and log["line"].isna().all()


def test_each_fix_can_be_taken_back_alone_and_the_others_stay():
    shop = rows({"PicName": "/x//a.jpg ", "CategoryId": "3.0", "Crop": "no"}, {"PicName": "b.jpg", "IntAttr": "5.0"})
    fixed, log = apply_fixes(shop, check(shop))
    assert len(log) >= 5 and log["rule"].nunique() >= 5
    for field in ("CategoryId", "Crop", "IntAttr"):
        back = undo_fixes(fixed, log[log["field"] == field])
        changed = [name for name in fixed if not back[name].equals(fixed[name])]
        assert changed == [field] and back[field].equals(shop[field])
    again = fixed
    for step in reversed(range(len(log))):  # one by one, from the last to the first
        again = undo_fixes(again, log.iloc[[step]])
    pd.testing.assert_frame_equal(again, shop)


def test_no_fix_is_offered_that_needs_judgement():
    found = check(rows({"CategoryId": "Dresses"}, {"IntAttr": "12.5"}, {"PicName": "a.jpg/../b.jpg"}))
    assert not found["fixable"].any()


def test_the_rules_table_has_every_rule_and_its_source():
    table = rules_table()
    assert table["rule"].is_unique
    assert table["source"].isin({"guide", "api", "guide; length: api", "limits", "oss", "secondary", "own"}).all()
    assert table[["what", "remedy"]].ne("").all(axis=None)
    assert rules_table("generic").set_index("rule").loc["category-unknown", "severity"] == "info"


def test_in_a_message_a_value_is_quoted_in_part_and_a_reason_read_to_its_end():
    rows = pl.DataFrame({"name": ["y" * 100], "why": ["x" * 100]})
    text = rows.select(_filled('image "{name}": {why}', {})).item()
    assert text == f'image "{"y" * 60}…": {"x" * 100}'


def test_counts_and_sizes_in_a_message_have_separators():
    rows = pl.DataFrame({"i_bytes": [6_760_899, 123_456, 999, None]})
    texts = rows.select(_filled("{i_bytes} of {limit:image_bytes}", {"image_bytes": 4_194_304})).to_series()
    assert texts.to_list() == [f"{count} of 4,194,304" for count in ("6,760,899", "123,456", "999", "?")]
