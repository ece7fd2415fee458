"""Runs folded into what the gallery holds."""

import json
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from imgprep.core.errors import ConfigError
from imgprep.core.settings import Settings
from imgprep.ship.dump import newest_export
from imgprep.ship.gallery import gallery_state, own_runs
from imgprep.ship.run import load_runs, open_run

HOME = Settings(region="cn-shanghai", instance="shop", bucket="b", path="/p")


@pytest.fixture
def ran(tmp_path):
    """Write a run of (operation, product, picture, outcome) lines; later calls are later runs."""
    count = 0

    def make(*lines, settings=HOME, state="partial", **fields):
        nonlocal count
        count += 1
        name = f"2026112{count}T000000Z-shop-000{count}"
        folder = tmp_path / name
        folder.mkdir()
        batch = pd.DataFrame(
            [(at, op, product, picture) for at, (op, product, picture, _) in enumerate(lines, 1)],
            columns=["line", "OperationType", "ProductId", "PicName"],
        ).astype({"line": "Int64", "OperationType": "str", "ProductId": "str", "PicName": "str"})
        batch = batch.assign(**{"CustomContent": f"v{count}", **fields})
        batch.to_parquet(folder / "batch.parquet", index=False)
        ends = batch[["line"]].assign(outcome=[line[3] for line in lines])
        ends.to_parquet(folder / "outcome.parquet", index=False)
        about = {"version": 1, "id": name, "state": state, "settings": settings.public(), "counts": {"lines": 0}}
        times = {"submitted": f"2026-11-2{count}T00:00:00+00:00"}
        (folder / "run.json").write_text(json.dumps({**about, "times": times, "request": "none"}))
        return open_run(folder)

    return make


def held(*runs, **options):
    frame = gallery_state(list(runs), **options)
    return {(row.ProductId, row.PicName): (row.state, row.CustomContent) for row in frame.itertuples()}


def test_an_imported_add_is_held_and_a_later_one_overwrites(ran):
    runs = [ran(("ADD", "1", "a", "imported")), ran(("ADD", "1", "a", "imported"))]
    assert held(*runs) == {("1", "a"): ("held", "v2")}
    assert gallery_state(runs)["run"].tolist() == [runs[1].id]


def test_a_failed_add_leaves_the_older_version(ran):
    assert held(ran(("ADD", "1", "a", "imported")), ran(("ADD", "1", "a", "failed"), ("ADD", "1", "b", "failed"))) == {
        ("1", "a"): ("held", "v1")
    }


def test_deletes_remove_an_image_or_a_whole_product(ran):
    first = ran(("ADD", "1", "a", "imported"), ("ADD", "1", "b", "imported"), ("ADD", "2", "c", "imported"))
    assert set(held(first, ran(("DELETE", "1", "a", "deleted")))) == {("1", "b"), ("2", "c")}
    whole = ran(("DELETE", "1", None, "deleted"))
    assert set(held(first, whole)) == {("2", "c")}
    assert set(held(first, whole, ran(("ADD", "1", "a", "imported")))) == {("1", "a"), ("2", "c")}


def test_unknown_lasts_until_a_certain_outcome(ran):
    first, unsure = ran(("ADD", "1", "a", "imported")), ran(("ADD", "1", "a", "unknown"), ("ADD", "2", "b", "unknown"))
    assert held(first, unsure)["1", "a"] == ("unknown", "v1")
    assert held(first, unsure)["2", "b"] == ("unknown", "v2")
    assert held(first, unsure, ran(("ADD", "1", "a", "imported"), ("DELETE", "2", "b", "deleted"))) == {
        ("1", "a"): ("held", "v3")
    }


def test_an_unknown_delete_affects_only_held_images(ran):
    first = ran(("ADD", "1", "a", "imported"))
    assert held(first, ran(("DELETE", "1", None, "unknown"), ("DELETE", "9", "z", "unknown"))) == {
        ("1", "a"): ("unknown", "v1")
    }


def test_an_image_added_and_deleted_in_one_file_is_unknown(ran):
    assert held(ran(("ADD", "1", "a", "imported"), ("DELETE", "1", None, "deleted")))["1", "a"][0] == "unknown"
    assert held(ran(("ADD", "1", "b", "imported"), ("ADD", "1", "b", "imported"))) == {("1", "b"): ("held", "v2")}


def test_runs_are_ordered_by_task_not_by_position(ran):
    first, second = ran(("ADD", "1", "a", "imported")), ran(("DELETE", "1", "a", "deleted"))
    assert held(second, first) == {}


def test_the_state_at_a_moment_counts_only_earlier_runs(ran):
    runs = [ran(("ADD", "1", "a", "imported")), ran(("DELETE", "1", "a", "deleted"))]
    assert held(*runs, at="2026-11-21T12:00:00Z") == {("1", "a"): ("held", "v1")}
    assert held(*runs, at="2026-11-21") == held(*runs, at=date(2026, 11, 21)) == {("1", "a"): ("held", "v1")}
    assert held(*runs, at="2026-11-20") == held(*runs, at="2026-11-22") == {}
    with pytest.raises(ConfigError, match="is not a time"):
        gallery_state(runs, at="yesterday")


def test_an_intent_that_was_never_sent_changes_nothing(ran):
    assert held(ran(("ADD", "1", "a", "unknown"), state="intended")) == {}


def test_galleries_are_not_mixed(ran):
    rehearsal = HOME.with_(oss_endpoint="http://127.0.0.1:1", imagesearch_endpoint="http://127.0.0.1:1")
    runs = [ran(("ADD", "1", "a", "imported")), ran(("ADD", "2", "b", "imported"), settings=rehearsal)]
    with pytest.raises(ConfigError, match="several galleries"):
        gallery_state(runs)
    assert set(held(*runs, of=HOME)) == {("1", "a")}
    assert set(held(*runs, of=rehearsal)) == {("2", "b")}


def test_every_sandbox_has_a_gallery_of_its_own(ran):
    one, two = (
        HOME.with_(oss_endpoint=f"http://127.0.0.1:{n}", imagesearch_endpoint=f"http://127.0.0.1:{n}", sandbox=name)
        for n, name in ((1, "a-00000001"), (2, "b-00000002"))
    )
    runs = [ran(("ADD", "1", "a", "imported"), settings=one), ran(("ADD", "2", "b", "imported"), settings=two)]
    with pytest.raises(ConfigError, match=r"shop \(sandbox a-00000001\), shop \(sandbox b-00000002\)"):
        gallery_state(runs)
    moved = one.with_(oss_endpoint="http://127.0.0.1:3", imagesearch_endpoint="http://127.0.0.1:3")
    state = gallery_state(runs, of=moved)
    assert state["ProductId"].tolist() == ["1"], "a restart on another port is the same sandbox"
    assert state.attrs["gallery"] == "shop (sandbox a-00000001)"
    assert gallery_state(runs, of=one.with_(sandbox="c-00000003")).empty
    assert own_runs(runs, Settings()) == [runs[1]], "of a project without an instance, the newest run's gallery"
    assert own_runs(runs, HOME) == []


def test_runs_of_sandboxes_without_an_identity_stay_readable_and_apart_from_new_ones(ran):
    rehearsal = HOME.with_(oss_endpoint="http://127.0.0.1:1", imagesearch_endpoint="http://127.0.0.1:1")
    runs = [
        ran(("ADD", "1", "a", "imported"), settings=rehearsal),
        ran(("ADD", "2", "b", "imported"), settings=rehearsal),
    ]
    for number, run in enumerate(runs):
        about = json.loads((run.folder / "run.json").read_text())
        del about["settings"]["sandbox"]
        about["settings"]["imagesearch_endpoint"] = f"http://127.0.0.1:{number + 1}"
        (run.folder / "run.json").write_text(json.dumps(about))
    old = [open_run(run.folder) for run in runs]
    assert len(gallery_state(old)) == 2
    assert {run.gallery for run in old} == {"shop (sandbox of an earlier version)"}
    assert gallery_state(old, of=rehearsal).empty


def test_the_newest_export_is_used_and_exports_of_other_instances_are_refused():
    monday, tuesday, other = (
        Path(f"x/2026-11-{name}.dump") for name in ("23T120000Z-shop-9", "24T120000Z-shop-10", "25T120000Z-demo-1")
    )
    unnamed = Path("export.csv")
    assert newest_export([tuesday, monday], "shop") == tuesday and newest_export([unnamed], "shop") == unnamed
    for files, instance, message in [
        ([monday, other], "shop", "instance 'demo'"),
        ([monday, other], "", "2026-11-2"),
        ([other], "shop", "not of 'shop'"),
        ([monday, unnamed], "shop", "export.csv: one of 2 exports"),
    ]:
        with pytest.raises(ConfigError, match=message):
            newest_export(files, instance)


@pytest.mark.parametrize("form", ["jsonl", "csv", "frame"])
def test_a_dump_corrects_the_runs(ran, tmp_path, form):
    first = ran(("ADD", "1", "a", "imported"), ("ADD", "1", "b", "imported"), digest="d" * 32)
    dump = pd.DataFrame({"ProductId": ["1", "3"], "PicName": ["a", "x"], "CustomContent": ["v1", "theirs"]})
    source = dump
    if form != "frame":
        source = tmp_path / f"dump.{form}"
        text = dump.to_json(orient="records", lines=True) if form == "jsonl" else "# note\n" + dump.to_csv(index=False)
        source.write_text(text)
    frame = gallery_state(first, dump=source)
    assert frame["PicName"].tolist() == ["a", "x"] and frame["state"].eq("held").all()
    assert frame["digest"].fillna("").tolist() == ["d" * 32, ""]
    assert frame["run"].fillna("").tolist() == [first.id, ""]


def test_later_runs_are_applied_to_an_export_which_is_ignored_for_earlier_states(ran, tmp_path):
    first = ran(("ADD", "1", "a", "imported"), ("ADD", "1", "b", "imported"))
    later = ran(("ADD", "3", "y", "imported"), ("DELETE", "2", None, "deleted"), ("ADD", "4", "z", "unknown"))
    dump = pd.DataFrame([("1", "a", "v1"), ("2", "x", "theirs"), ("2", "w", "theirs"), ("4", "z", "theirs")],
                        columns=["ProductId", "PicName", "CustomContent"])  # fmt: skip
    source = tmp_path / "2026-11-21T120000Z-shop-7.dump"
    dump.to_json(source, orient="records", lines=True)
    both = {("1", "a"): ("held", "v1"), ("3", "y"): ("held", "v2"), ("4", "z"): ("unknown", "theirs")}
    assert held(first, later, dump=source) == both
    frame = gallery_state([later, first], dump=source).set_index(["ProductId", "PicName"])
    assert frame["run"].tolist() == [first.id, later.id, later.id]
    assert held(first, later, dump=source, at="2026-11-21T06:00:00Z") == held(first)
    assert held(first, later, dump=source, before=first) == {}
    undated = tmp_path / "gallery.dump"
    source.rename(undated)
    assert ("3", "y") not in held(first, later, dump=undated)


def test_a_category_that_the_service_predicted_is_not_one_that_was_sent(ran):
    run = ran(
        ("ADD", "1", "x", "imported"), ("ADD", "2", "y", "imported"), CategoryId=pd.array([None, 3], dtype="Int64")
    )
    seen = [("1", "x", 7, "v1"), ("2", "y", 4, "v1"), ("3", "z", 5, "v1")]
    dump = pd.DataFrame(seen, columns=["ProductId", "PicName", "CategoryId", "CustomContent"])
    known = gallery_state([run], dump=dump).set_index("ProductId")["CategoryId"]
    assert pd.isna(known["1"]) and known["2"] == 4 and known["3"] == 5, "a plan would otherwise clear it each time"


@pytest.mark.parametrize("spelt", [str, lambda name: name.replace("Attr", "_attr_").lower()])
def test_all_attributes_of_a_dump_are_kept(spelt):
    texts = {"StrAttr": "a", "StrAttr2": "b", "StrAttr3": "c", "StrAttr4": "d"}
    image = {"IntAttr": 1, "IntAttr2": 2, "IntAttr3": 3, "IntAttr4": 4, **texts}
    dump = pd.DataFrame([{"ProductId": "1", "PicName": "a", **{spelt(name): value for name, value in image.items()}}])
    state = gallery_state([], dump=dump)
    assert state.loc[0, list(image)].to_dict() == image


def test_a_file_that_is_not_a_dump_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="no column ProductId"):
        gallery_state([], dump=tmp_path / "x.csv")


def test_without_runs_the_gallery_is_empty_with_all_columns():
    frame = gallery_state([])
    assert len(frame) == 0 and list(frame)[:2] == ["ProductId", "PicName"] and str(frame["IntAttr"].dtype) == "Int64"


def test_a_folder_that_does_not_exist_has_no_runs(tmp_path):
    assert load_runs(tmp_path / "none") == []


def test_the_state_before_a_run_excludes_it_and_later_runs(ran):
    runs = [ran(("ADD", "1", "a", "imported")) for _ in range(3)]
    assert held(*runs, before=runs[1]) == {("1", "a"): ("held", "v1")}
    assert held(*runs, before=runs[0]) == {}
