"""Plans: reasons, exclusions, regions on copies, what waits, splits, losses and costs."""

import json

import pandas as pd
import pytest
from exports_made import load

from imgprep.core.errors import ConfigError
from imgprep.core.fields import FIELD_NAMES, FIELDS
from imgprep.core.findings import findings_frame
from imgprep.core.frames import detached
from imgprep.load.delimited import LISTED
from imgprep.look.rules.book import check
from imgprep.meta.codec import dumps_meta
from imgprep.plan.make import plan_batch, plan_between
from imgprep.plan.model import BATCH_COLUMNS
from imgprep.plan.preview import blast_radius, estimate
from imgprep.plan.split import split_batch

TEXT = [field.name for field in FIELDS]


def shop(*rows):
    frame = pd.DataFrame([{"ProductId": "1", "PicName": "a.jpg", "CustomContent": "k:v", **row} for row in rows])
    frame.insert(0, "row", pd.array(range(1, len(frame) + 1), dtype="Int64"))
    return frame.astype({name: "str" for name in frame.columns if name in TEXT})


def held(*rows):
    frame = pd.DataFrame(
        [{"ProductId": "1", "PicName": "a.jpg", "CustomContent": "k:v", "state": "held", **row} for row in rows]
    )
    return frame.astype({name: "str" for name in frame.columns if name != "CategoryId"})


def looks(*names, **changes):
    record = {"exists": True, "width": 640, "height": 480, "digest": "d", "orientation": 1, **changes}
    return pd.DataFrame([{"PicName": name, **record} for name in names])


def region(**changes):
    row = {"PicName": "a.jpg", "ProductId": None, "state": "region", "x1": 10, "y1": 21, "x2": 110, "y2": 221}
    frame = pd.DataFrame([{**row, "digest": "src", "width": 640, "height": 480, **changes}])
    return frame.astype({"ProductId": "str", "digest": "str"})


def log(**changes):
    row = {"PicName": "a.jpg", "new_name": "a-1.jpg", "source_digest": "src", "digest": "copy", "action": "converted"}
    return pd.DataFrame([{**row, "scale_x": 0.5, "scale_y": 0.5, "width": 320, "height": 240, **changes}])


def test_a_batch_has_the_dtypes_of_the_wire_and_every_row_a_home():
    catalogue = shop({"CategoryId": "3", "IntAttr": "-5", "Crop": "FALSE"}, {"PicName": "b"}, {"PicName": "c.jpg"})
    plan = plan_batch(catalogue.assign(vendor="x"), known=held({"PicName": "c.jpg"}))
    assert {name: str(dtype) for name, dtype in plan.batch.dtypes.items()} == BATCH_COLUMNS
    line = plan.batch.iloc[0]
    assert (line["CategoryId"], line["IntAttr"], line["Crop"], line["OperationType"]) == (3, -5, False, "ADD")
    assert line[["line", "row", "file", "reason", "expected"]].tolist() == [1, 1, "a.jpg", "new", "imported"]
    assert plan.excluded[["row", "vendor", "reason"]].values.tolist() == [[2, "x", "pic-name-no-extension"]]
    assert plan.unchanged[["row", "reason"]].values.tolist() == [[3, "same"]]
    assert repr(plan) == "Plan(1 ADD, 0 DELETE, 1 unchanged, 1 excluded)"


@pytest.mark.parametrize(
    ("was", "reason"),
    [
        ({"digest": "old"}, "image"),
        ({"Region": "1,2,3,4"}, "region cleared"),
        ({"CustomContent": "x", "CategoryId": 3}, "CategoryId cleared, CustomContent"),
        ({"digest": "old", "Crop": "false"}, "image, Crop cleared"),
        ({"StrAttr2": "x", "IntAttr": 3}, "IntAttr cleared, StrAttr2 cleared"),
        ({"state": "unknown"}, "unknown"),
    ],
)
def test_a_line_says_what_changed(was, reason):
    known = held(was)
    if "Crop" in known:
        known["Crop"] = known["Crop"].map({"false": False}).astype("boolean")
    named = dict.fromkeys(["CategoryId", "IntAttr", "StrAttr2", "Crop", "Region"])
    assert plan_batch(shop(named), images=looks("a.jpg"), known=known).batch["reason"].tolist() == [reason]


RECORD = {
    "CategoryId": 3,
    "IntAttr": 1,
    "IntAttr2": 2,
    "IntAttr3": 3,
    "IntAttr4": 4,
    "Region": "1,9,1,9",
    "digest": "d",
}
RECORD |= {"StrAttr": "a", "StrAttr2": "b", "StrAttr3": "c", "StrAttr4": "d"}


def known_record(**changes):
    record = {"ProductId": "1", "PicName": "a.jpg", "CustomContent": "k:v", "state": "held", **RECORD, **changes}
    return pd.DataFrame([record])


def test_a_line_repeats_what_the_gallery_holds_in_the_fields_that_the_catalogue_does_not_name():
    known = known_record()
    assert plan_batch(shop({}), images=looks("a.jpg"), known=known).unchanged["reason"].tolist() == ["same"]
    plan = plan_batch(shop({"CustomContent": "k:new", "StrAttr2": "new"}), images=looks("a.jpg"), known=known)
    line = plan.batch.iloc[0]
    assert line["reason"] == "StrAttr2, CustomContent"
    assert line[list(RECORD)].to_dict() == {**RECORD, "StrAttr2": "new"}
    assert set(plan.changes()["field"]) == {"StrAttr2", "CustomContent"}
    carried = [name for name in FIELD_NAMES if name in RECORD and name != "StrAttr2"]
    assert sorted(plan.carried["field"], key=FIELD_NAMES.index) == carried
    assert plan.carried[["line", "ProductId", "PicName"]].drop_duplicates().values.tolist() == [[1, "1", "a.jpg"]]
    assert plan_batch(shop({}), images=looks("a.jpg")).carried.empty


def test_a_field_that_is_named_without_a_value_is_cleared():
    plan = plan_batch(shop({"StrAttr2": None, "IntAttr4": None}), images=looks("a.jpg"), known=known_record())
    line = plan.batch.iloc[0]
    assert line["reason"] == "IntAttr4 cleared, StrAttr2 cleared"
    assert line[["StrAttr2", "IntAttr4"]].isna().all() and line["StrAttr3"] == "c"
    assert plan.changes()[["field", "before"]].values.tolist() == [["IntAttr4", "4"], ["StrAttr2", "b"]]
    assert plan.changes()["after"].isna().all()


def test_a_region_stays_while_its_image_does_and_the_store_does_not_decide():
    new = {"CustomContent": "k:new"}
    plan = plan_batch(shop(new), images=looks("a.jpg", digest="other"), known=known_record())
    assert pd.isna(plan.batch["Region"][0]) and plan.batch["reason"][0] == "image, region cleared, CustomContent"
    left = plan_batch(shop(new), images=looks("a.jpg"), regions=region(state="service"), known=known_record())
    assert pd.isna(left.batch["Region"][0]) and "region cleared" in left.batch["reason"][0]
    assert plan_batch(shop({"Crop": "true"}), images=looks("a.jpg"), known=known_record()).batch.empty
    uncropped = plan_batch(shop({"Crop": "false"}), images=looks("a.jpg"), known=known_record()).batch
    assert pd.isna(uncropped["Region"][0]) and uncropped["reason"][0] == "region cleared, Crop"
    whole = known_record(Region=None, Crop=False)
    assert plan_batch(shop(new), images=looks("a.jpg"), known=whole).batch["Crop"].tolist() == [False]
    drawn = plan_batch(shop(new), images=looks("a.jpg"), regions=region(digest=None), known=whole).batch
    assert drawn["Region"].notna().all() and drawn["Crop"].isna().all()


def test_images_whose_category_changes_are_counted():
    images = [{"ProductId": str(n), "PicName": f"{n}.jpg"} for n in range(4)]
    was = [{"CategoryId": 3}, {"CategoryId": 3}, {}, {"CategoryId": 1}]
    known = held(*({**image, **fields} for image, fields in zip(images, was, strict=True)))
    catalogue = shop(*({**image, "CategoryId": number} for image, number in zip(images, "1111", strict=True)))
    table = plan_batch(catalogue, known=known).category_changes()
    assert table.astype(object).where(table.notna(), None).values.tolist() == [[3, 1, 2], [None, 1, 1]]
    assert plan_batch(catalogue).category_changes().empty


def test_the_category_of_other_services_is_left_to_them():
    plan = plan_batch(shop({"CustomContent": "k:new"}), known=known_record(CategoryId=88888888), service="generic")
    assert plan.batch["CategoryId"].isna().all() and "CategoryId" not in set(plan.carried["field"])


def test_an_image_without_known_bytes_and_a_default_spelled_out_are_no_change():
    known = held({"digest": None, "StrAttr": None}).assign(Crop=pd.array([True], dtype="boolean"))
    plan = plan_batch(shop({"StrAttr": ""}), images=looks("a.jpg"), known=known)
    assert plan.batch.empty


def test_ignored_fields_are_no_reason_and_are_named():
    known = held({"CustomContent": "k:old"})
    assert plan_batch(shop({}), known=known, ignore=["CustomContent"]).unchanged["reason"].tolist() == [
        "ignored: CustomContent"
    ]
    with pytest.raises(ConfigError, match="did you mean CustomContent"):
        plan_batch(shop({}), known=known, ignore=["CustomContents"])


def test_a_category_that_the_service_overwrites_is_no_reason():
    known = held({"CategoryId": 88888888})
    assert plan_batch(shop({"CategoryId": "3"}), known=known, service="generic").batch.empty
    assert len(plan_batch(shop({"CategoryId": "3"}), known=known).batch) == 1


def test_a_row_left_out_keeps_its_product_from_losing_anything():
    known = held({}, {"PicName": "b.jpg"}, {"ProductId": "2"}, {"ProductId": "3", "PicName": "z.jpg"})
    catalogue = shop({"PicName": "/a.jpg"}, {"ProductId": None, "PicName": "z.jpg"})
    plan = plan_batch(catalogue, known=known, delete_missing=True)
    assert plan.batch[["ProductId", "PicName"]].fillna("-").values.tolist() == [["2", "-"]]
    assert plan.deferred[["ProductId", "PicName"]].values.tolist() == [["1", "a.jpg"], ["1", "b.jpg"], ["3", "z.jpg"]]


@pytest.mark.parametrize(
    "text",
    [
        "title,sku,image\nShirt,1,a.jpg\nHat, blue,2,a.jpg\n",  # the second id is one column too far right
        'sku,title,image\n1,Shirt,a.jpg\n3,"Hat, blue,c.jpg\n2,Bag,a.jpg\n',  # the last record is inside a cell
        "sku,title,image\n1,Shirt,a.jpg\n#NAME?,Bag,a.jpg\n",
        "sku,title,image\n1,Shirt,a.jpg\n2-Mar,Bag,a.jpg\n",
        b"sku,title,image\n1,Shirt,a.jpg\n2\xff,Bag,a.jpg\n\xe6\xac\xa2,Hat,c.jpg\n",
        "sku,title,image\n",
    ],
    ids=["shifted", "swallowed", "damaged by a spreadsheet", "a date", "damaged by an encoding", "empty"],
)
def test_nothing_is_deleted_by_absence_while_a_record_may_speak_of_any_product(tmp_path, text):
    catalogue = load(tmp_path, text)
    known = held({"CustomContent": "title:Shirt"}, {"ProductId": "2"})
    plan = plan_batch(catalogue, known=known, delete_missing=True)
    assert "DELETE" not in plan.batch["OperationType"].tolist()
    assert plan.deferred["ProductId"].tolist()[-1] == "2"
    assert plan.deferred["reason"].tolist()[-1] == "waits for a readable export"
    assert "waits for a readable export" in plan.summary()["reason"].tolist()


def test_nothing_is_deleted_by_absence_where_a_quote_was_read_as_text(tmp_path):
    catalogue = load(tmp_path, 'sku,title,image\n1,Shirt,a.jpg\n3,"Hat,c.jpg\n2,Bag,a.jpg\n')
    assert catalogue["ProductId"].tolist() == ["1", "3", "2"]
    plan = plan_batch(catalogue, known=held({"ProductId": "9"}), delete_missing=True)
    assert "DELETE" not in plan.batch["OperationType"].tolist() and plan.deferred["ProductId"].tolist() == ["9"]


def test_a_record_that_loading_could_not_read_is_not_sent_whoever_checked_it(tmp_path):
    catalogue = load(tmp_path, "sku,image,title\n1,a.jpg,Shirt\n2,b.jpg,Hat, blue\n")
    for findings in (None, check(catalogue)):
        plan = plan_batch(catalogue, findings=findings)
        assert plan.batch["ProductId"].tolist() == ["1"]
        assert plan.excluded["reason"].tolist() == ["record-too-many-cells"]


@pytest.mark.parametrize("how", ["merged", "stored"])
def test_a_loss_of_what_loading_found_deletes_nothing_and_sends_no_shifted_record(tmp_path, how):
    loaded = load(tmp_path, "sku,image,title\n1,a.jpg,Shirt\n2,b.jpg,Hat, blue\n")
    if how == "merged":
        catalogue = loaded.merge(pd.DataFrame({"ProductId": ["1", "2"], "stock": [3, 4]}), on="ProductId")
    else:
        detached(loaded).to_parquet(tmp_path / "kept.parquet")
        catalogue = pd.read_parquet(tmp_path / "kept.parquet")
    assert "findings" not in catalogue.attrs
    plan = plan_batch(catalogue, known=held({"ProductId": "3"}), delete_missing=True)
    assert plan.batch["ProductId"].tolist() == ["1"] and plan.deferred["ProductId"].tolist() == ["3"]
    assert plan.excluded["reason"].tolist() == ["record-too-many-cells"]
    rest = catalogue[catalogue["ProductId"] == "1"]
    assert plan_batch(rest, known=held({"ProductId": "3"}), delete_missing=True).batch["reason"].tolist() == ["new"]


@pytest.mark.parametrize("how", ["two such exports", "no record numbers", "all texts", "twice", "filtered away"])
def test_what_pandas_does_to_the_column_of_what_was_not_read_deletes_nothing(tmp_path, how):
    loaded = detached(load(tmp_path, "sku,image,title\n1,a.jpg,Shirt\n2,b.jpg,Hat, blue\n"))
    catalogue = {
        "two such exports": loaded.merge(loaded[["row", "ProductId", "not_read"]], on="ProductId"),
        "no record numbers": loaded.set_index("row"),
        "all texts": loaded.astype("str"),
        "twice": pd.concat([loaded, loaded[["not_read"]]], axis=1),
        "filtered away": loaded.iloc[:0],
    }[how]
    plan = plan_batch(catalogue, known=held({"ProductId": "3"}), delete_missing=True)
    assert plan.deferred["ProductId"].tolist() == ["3"]
    assert plan.batch["ProductId"].tolist() == ([] if how == "filtered away" else ["1"])


def test_more_shifted_records_than_are_listed_are_all_left_out(tmp_path):
    shifted = "".join(f"{n},Mug, red,{n}.jpg\n" for n in range(LISTED + 50))
    catalogue = load(tmp_path, f"sku,image,title\n{shifted}a,a.jpg,Cup\n")
    shifts = catalogue.attrs["findings"]["rule"].eq("record-too-many-cells")
    assert shifts.sum() == LISTED + 1
    for given in (catalogue, pd.DataFrame(detached(catalogue))):
        plan = plan_batch(given)
        assert plan.batch["ProductId"].tolist() == ["a"] and len(plan.excluded) == LISTED + 50


def test_of_two_exports_put_together_only_the_record_that_was_not_read_is_left_out(tmp_path):
    damaged = load(tmp_path, "sku,image,title\n1,a.jpg,Shirt\n2,b.jpg,Hat, blue\n")
    other = load(tmp_path, "sku,image,title\n3,c.jpg,Shoe\n4,d.jpg,Bag\n")
    plan = plan_batch(
        pd.concat([damaged, other], ignore_index=True), known=held({"ProductId": "5"}), delete_missing=True
    )
    assert plan.batch["ProductId"].tolist() == ["1", "3", "4"]
    assert plan.excluded["ProductId"].tolist() == ["2"] and plan.deferred["ProductId"].tolist() == ["5"]


def test_what_was_not_read_in_an_export_that_was_kept_is_remembered_beside_what_is_not_read_now(tmp_path):
    kept = load(tmp_path, "sku,image,title\n1,a.jpg,Shirt\n2,b.jpg,Hat, blue\n")
    text = detached(kept).drop(columns="row").to_csv(index=False) + "3,c.jpg,t:Pot,3,c.jpg,Pot,other records,,,x\n"
    again = load(tmp_path, text)
    assert again["not_read"].tolist()[1] == "record-too-many-cells"
    plan = plan_batch(pd.DataFrame(again), findings=check(again))
    assert plan.excluded["ProductId"].tolist() == ["2", "3"]


def test_a_column_of_the_shops_own_that_is_called_like_ours_stops_nothing(tmp_path):
    catalogue = load(tmp_path, "sku,image,title,not_read\n1,a.jpg,Shirt,0\n2,b.jpg,Hat,1\n")
    plan = plan_batch(catalogue, known=held({"ProductId": "3"}), delete_missing=True)
    assert plan.batch[["OperationType", "ProductId"]].to_numpy().tolist()[-1] == ["DELETE", "3"]
    assert plan.excluded.empty


def test_a_sound_export_has_no_column_about_records_that_cannot_be_read(tmp_path):
    assert "not_read" not in load(tmp_path, "sku,image\n1,a.jpg\n").columns


@pytest.mark.parametrize("spelt", ["00\n7", "007\r", " 007", "0\u000b07 "])
def test_another_spelling_of_an_id_does_not_delete_the_right_one(spelt):
    known = held({"ProductId": "007"}, {"ProductId": "007", "PicName": "b.jpg"}, {"ProductId": "8"})
    plan = plan_batch(shop({"ProductId": spelt}), known=known, delete_missing=True)
    assert plan.batch[["OperationType", "ProductId"]].values.tolist() == [["ADD", spelt], ["DELETE", "8"]]
    assert plan.deferred["ProductId"].tolist() == ["007", "007"]
    known = held({"ProductId": "007"}, {"ProductId": spelt})
    corrected = plan_batch(shop({"ProductId": "007"}), known=known, delete_missing=True)
    assert corrected.batch[["OperationType", "ProductId"]].values.tolist() == [["DELETE", spelt]]


def test_a_product_without_a_photograph_keeps_its_old_one():
    plan = plan_batch(shop({"PicName": None}), known=held({}), delete_missing=True)
    assert plan.batch.empty


def test_a_replaced_image_goes_once_the_new_one_is_held():
    catalogue = shop({"PicName": "new.jpg"})
    first = plan_batch(catalogue, known=held({"PicName": "old.jpg"}), delete_missing=True)
    assert first.batch[["OperationType", "PicName"]].values.tolist() == [["ADD", "new.jpg"]]
    both = held({"PicName": "old.jpg"}, {"PicName": "new.jpg"})
    second = plan_batch(catalogue, known=both, delete_missing=True)
    assert second.batch[["OperationType", "PicName"]].values.tolist() == [["DELETE", "old.jpg"]]


def test_deletes_that_were_asked_for_are_sent_where_there_is_something():
    asked = shop({"OperationType": "DELETE"}, {"OperationType": "DELETE", "ProductId": "2", "PicName": None}).assign(
        CustomContent="k:v", CategoryId="1"
    )
    plan = plan_batch(asked)
    assert plan.batch["expected"].tolist() == ["deleted", "deleted"]
    assert plan.batch[["CategoryId", "CustomContent", "file"]].isna().all(axis=None)
    again = plan_batch(asked, known=held({"ProductId": "2"}), delete_missing=True)
    assert again.batch["ProductId"].tolist() == ["2"]
    assert again.unchanged["reason"].tolist() == ["not held"]


def test_the_same_line_twice_is_sent_once():
    plan = plan_batch(shop({}, {}))
    assert (len(plan.batch), plan.excluded["reason"].tolist()) == (1, ["duplicate-key"])


def test_one_bad_picture_of_a_record_leaves_the_others_in():
    catalogue = shop({}, {"PicName": "b.jpg"}).assign(row=pd.array([7, 7], dtype="Int64"))
    plan = plan_batch(catalogue, images=looks("a.jpg"))
    assert plan.batch["PicName"].tolist() == ["a.jpg"]
    assert plan.excluded[["PicName", "reason"]].values.tolist() == [["b.jpg", "image-missing"]]


def test_kept_refused_rows_name_the_rule_and_destructive_ones_stay_out():
    catalogue = shop(
        {"CategoryId": "17"},
        {"PicName": "gone.jpg"},
        {"PicName": "b.jpg", "CategoryId": "x"},
        {"OperationType": "DELETE", "PicName": ""},
        {"ProductId": "2", "PicName": "c.jpg", "Region": "9,1,9,1"},
    ).replace({"OperationType": {None: "ADD"}})
    catalogue["OperationType"] = catalogue["OperationType"].fillna("ADD")
    plan = plan_batch(catalogue, images=looks("a.jpg", "b.jpg", "c.jpg"), keep_refused=True)
    assert plan.batch[["PicName", "expected"]].values.tolist() == [
        ["a.jpg", "category-unknown"],
        ["gone.jpg", "image-missing"],
        ["c.jpg", "region-empty"],
    ]
    assert plan.batch["Region"].tolist()[2] == "9,1,9,1"
    assert plan.excluded["reason"].tolist() == ["category-not-integer", "delete-empty-pic-name"]


def test_what_no_line_can_carry_is_left_out_whatever_the_findings_say():
    plan = plan_batch(shop({"CategoryId": "x"}, {"PicName": None}), findings=findings_frame())
    assert plan.batch.empty
    assert plan.excluded["reason"].tolist() == ["category-not-integer", "pic-name-missing"]


def test_findings_made_on_the_names_of_the_copies_are_matched():
    findings = findings_frame([{"rule": "image-rotated", "severity": "error", "row": 1, "PicName": "a-1.jpg"}])
    plan = plan_batch(shop({}), images=looks("a-1.jpg"), prepared=log(), findings=findings)
    assert plan.excluded["reason"].tolist() == ["image-rotated"]


@pytest.mark.parametrize(
    ("drawn", "wire"),
    [
        (region(), "5,55,10,110"),  # on the source: scaled with it
        (region(digest="copy"), "10,110,21,221"),  # on the copy: as it is
        (region(digest="other"), None),  # on another image: stale
        (region(digest=None), "5,55,10,110"),  # by its size
        (region(x1=0, x2=1, y1=0, y2=1), "0,1,0,1"),  # never less than a pixel
        (region(x1=0, x2=640, y1=0, y2=480), "0,320,0,240"),
    ],
)
def test_regions_go_to_the_copy_with_it(drawn, wire):
    images = looks("a-1.jpg", width=320, height=240, digest="copy")
    line = plan_batch(shop({}), images=images, prepared=log(), regions=drawn).batch.iloc[0]
    assert line["PicName"] == "a-1.jpg" and line["digest"] == "copy"
    assert (line["Region"] if wire else pd.isna(line["Region"])) == (wire or True)


def test_the_catalogues_own_region_is_scaled_too():
    images = looks("a-1.jpg", width=320, height=240, digest="copy")
    plan = plan_batch(shop({"Region": "10,110,20,220"}), images=images, prepared=log())
    assert plan.batch["Region"].tolist() == ["5,55,10,110"]


def test_the_three_states_of_a_subject():
    none = {"x1": None, "y1": None, "x2": None, "y2": None}
    own = pd.concat(
        [region(state="whole", **none), region(ProductId="2"), region(PicName="b.jpg", state="service", **none)]
    )
    catalogue = shop({}, {"ProductId": "2"}, {"PicName": "b.jpg", "Crop": "false"})
    batch = plan_batch(catalogue, regions=own).batch
    assert batch["Region"].fillna("-").tolist() == ["-", "10,110,21,221", "-"]
    assert batch["Crop"].fillna(True).tolist() == [False, True, True]


def test_an_image_that_could_not_be_prepared_is_left_out():
    plan = plan_batch(shop({}), prepared=log(action="refused", new_name=None), findings=findings_frame())
    assert plan.excluded["reason"].tolist() == ["image-not-prepared"]


def test_summary_diff_and_changes_show_the_effect_of_a_plan():
    known = held({"CustomContent": "old"}, {"ProductId": "2", "CategoryId": 1}, {"ProductId": "2", "PicName": "b.jpg"})
    plan = plan_batch(
        shop({"CategoryId": "0"}, {"ProductId": "3", "PicName": "n.jpg"}), known=known, delete_missing=True
    )
    assert plan.summary()[["what", "reason", "rows"]].values.tolist() == [
        ["add", "new", 1],
        ["replace", "CategoryId, CustomContent", 1],
        ["delete", "gone", 1],
    ]
    assert plan.diff()[["what", "category", "images", "products"]].values.tolist() == [
        ["add", "predicted", 1, 1],
        ["replace", "Tops", 1, 1],
        ["delete", "Dress", 1, 1],
        ["delete", "predicted", 1, 1],
    ]
    assert plan.changes()[["field", "before", "after"]].fillna("-").values.tolist() == [
        ["CategoryId", "-", "0"],
        ["CustomContent", "old", "k:v"],
    ]


def test_a_loss_above_the_threshold_is_confirmed_by_name():
    known = held({}, *({"ProductId": str(n)} for n in range(2, 5)))
    plan = plan_batch(shop({}), known=known, delete_missing=True)
    loss = blast_radius(plan, known, threshold=0.5)
    assert (loss.images, loss.products, loss.share) == (3, 3, 0.75)
    with pytest.raises(ConfigError, match=r"confirm with the name of the instance: 'shop' \(confirm=, --confirm\)"):
        loss.require("shop", confirm="sandbox")
    loss.require("shop", confirm="shop")
    blast_radius(plan, known, threshold=0.8).require("shop")
    unknown = plan_batch(shop({"OperationType": "DELETE"}))
    assert blast_radius(unknown, None).needs_confirmation
    assert "deletes 1 image (of an unknown number)" in str(blast_radius(unknown, None))


def test_an_estimate_counts_bytes_requests_and_time():
    plan = plan_batch(shop({}, {"ProductId": "2"}, {"PicName": "b.jpg"}), images=looks("a.jpg", "b.jpg"))
    table = estimate(plan, looks("a.jpg", "b.jpg", "c.jpg").assign(bytes=100), capacity=100_000, held=10)
    values = {(row.what, row.unit): row.value for row in table.itertuples()}
    assert values["upload", "images"] == 2 and values["upload", "bytes"] == 200
    assert values["import", "seconds"] == 3.0 and values["room left", "images"] == 99_987
    assert pd.isna(values["upload", "seconds"])


def test_an_image_of_unknown_size_is_not_counted_as_empty():
    plan = plan_batch(shop({}, {"PicName": "b.jpg"}))

    def size(*facts):
        table = estimate(plan, pd.DataFrame(facts, columns=["PicName", "bytes"]).astype({"bytes": "Int64"}))
        return table.loc[table["unit"].eq("bytes"), ["value", "basis"]].fillna(-1).to_numpy().tolist()

    assert size(("a.jpg", 500), ("b.jpg", 700)) == [[1200, "counted"]]
    assert size(("a.jpg", 500), ("b.jpg", None)) == [[500, "counted, without 1 of unknown size"]]
    assert size(("a.jpg", None)) == [[-1, "needs facts"]]


def test_a_split_by_bytes_measures_the_lines_as_they_are_written():
    batch = plan_batch(shop(*({"ProductId": str(n), "PicName": f"{n}.jpg"} for n in range(9)))).batch
    size = len(dumps_meta(batch.head(2)).encode())
    parts = split_batch(batch, max_bytes=size)
    assert [len(part) for part in parts] == [2, 2, 2, 2, 1]
    assert all(len(dumps_meta(part).encode()) <= size for part in parts)
    with pytest.raises(ConfigError, match="product 0"):
        split_batch(batch, max_bytes=10)
    with pytest.raises(ConfigError, match="max_rows=0"):
        split_batch(batch, max_rows=0)
    assert split_batch(batch.iloc[:0], max_rows=1) == []


def test_what_was_open_then_is_left_as_it_is_now():
    now = held({}, {"ProductId": "2"})
    then = held({"CustomContent": "old"}, {"ProductId": "2", "state": "unknown"})
    plan = plan_between(now, then)
    assert plan.batch[["OperationType", "ProductId", "CustomContent"]].values.tolist() == [["ADD", "1", "old"]]


def test_a_state_without_keys_is_refused():
    with pytest.raises(ConfigError, match="must be a gallery state"):
        plan_batch(shop({}), known=pd.DataFrame({"x": [1]}))


def test_what_is_gone_can_be_written_beside_what_comes():
    plan = plan_batch(shop({}), known=held({"ProductId": "2"}), delete_missing=True)
    line = dumps_meta(plan.batch).splitlines()[1]
    assert json.loads(line) == {"OperationType": "DELETE", "ProductId": "2"}


def test_time_is_estimated_from_earlier_runs_beside_the_vendors_quota():
    plan = plan_batch(shop({}, {"ProductId": "2", "PicName": "b.jpg"}))
    durations = pd.DataFrame({"run": ["a", "b", "c"], "lines": [10, 30, 5], "seconds": [5.0, 15.0, None]})
    durations = durations.assign(images=[4, None, 6], bytes=[100, None, 900], upload_seconds=[1.0, None, 4.0])

    def times(facts, what, durations):
        table = estimate(plan, facts, durations=durations)
        table = table[(table["what"] == what) & (table["unit"] == "seconds")]
        return table[["value", "basis"]].values.tolist()

    assert times(None, "import", durations) == [[0.4, "vendor's quota"], [1.0, "2 earlier runs"]]
    assert times(None, "upload", durations)[1] == [1.0, "2 earlier runs"]
    heavy = looks("a.jpg", "b.jpg").assign(bytes=500)
    assert times(heavy, "upload", durations)[1] == [5.0, "2 earlier runs"]
    (none,) = times(heavy, "upload", durations.head(0))[1:]
    assert pd.isna(none[0]) and none[1] == "0 earlier runs"


def test_the_order_of_lines_does_not_hang_on_the_order_of_what_is_known():
    known = held(*({"ProductId": str(n % 7), "PicName": f"{n}.jpg"} for n in range(30)))
    catalogue = shop({"ProductId": "3", "PicName": "3.jpg"}, {"ProductId": "x", "PicName": "x.jpg"})
    plans = [
        plan_batch(catalogue, known=known.sample(frac=1, random_state=seed), delete_missing=True) for seed in range(5)
    ]
    assert len(plans[0].batch) > 5
    assert all(plan.batch.equals(plans[0].batch) for plan in plans)
