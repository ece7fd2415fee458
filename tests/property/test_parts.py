"""An export that is built in parts gives the findings, lines and exclusions of the whole, to the row."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from imgprep.cli.main import main
from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.core.files import DRAFT, Written
from imgprep.core.frames import detached
from imgprep.demo.shop import PART, demo_shop
from imgprep.load import parts as load_parts
from imgprep.load.catalogue import load_catalogue
from imgprep.load.left_out import SHARED_IMAGE
from imgprep.look.rules.book import check, tally_rules
from imgprep.plan import parts as build
from imgprep.plan.batch_folder import write_folder
from imgprep.plan.build import Rules, replan_batch
from imgprep.plan.make import plan_batch
from imgprep.plan.model import Baseline
from imgprep.plan.parts import build_parts

IDS = ["p1", "p2", "p3", " p1", "p\t2", "", "7.0", "1.23E+05"]
NAMES = ["a.jpg", "A.jpg", "b.jpg", "B.JPG", "é.jpg", "e\u0301.jpg", "", "x/c.jpg", "x/C.jpg"]
REGIONS = ["", "1,20,3,40", "10,5,40,60", "20,9,90,50", "30,4,70,80", "50,60,70,80", "x"]
ROW = st.fixed_dictionaries(
    {
        "OperationType": st.sampled_from(["", "ADD", "ADD", "DELETE"]),
        "ProductId": st.sampled_from(IDS),
        "PicName": st.sampled_from(NAMES),
        "CategoryId": st.sampled_from(["", "0", "1", "17"]),
        "CustomContent": st.sampled_from(["k:v", 'k:"v", w', "k:line\nbreak", ""]),
        "Region": st.sampled_from(REGIONS),
        "brand": st.sampled_from(["", "one", "two"]),
    }
)
KNOWN = st.lists(
    st.tuples(st.sampled_from(IDS[:3] + ["p9", "p8"]), st.sampled_from(NAMES[:3] + ["z.jpg"])), unique=True, max_size=8
)


@pytest.fixture(scope="module", autouse=True)
def small_pieces():
    """Pieces of a few records, so that rows of a product are in several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load_parts, "PIECE_BYTES", 300)
        patch.setattr(load_parts, "_LONGEST", 1 << 20)
        patch.setattr(load_parts, "PIECE_ROWS", 7)
        yield


def in_order(frame, *without):
    """The rows of a frame, in any order."""
    frame = pd.DataFrame(frame).drop(columns=list(without)).astype(object).where(lambda table: table.notna(), None)
    return sorted(map(repr, frame.to_dict("records")))


def assert_rows(found, expected, *without):
    """Compare the rows of two frames, in any order."""
    one, other = in_order(found, *without), in_order(expected, *without)
    differ = [("found", row) for row in one if row not in other] + [
        ("expected", row) for row in other if row not in one
    ]
    assert one == other, differ or "the same row more than once"


def read(built, table):
    return pd.concat([pd.read_parquet(folder / f"{table}.parquet") for folder in built.folders], ignore_index=True)


def assert_same(path, out, *, parts, facts=None, limits=None, **baseline):
    """Compare the parts of an export with the whole."""
    if facts is not None:
        facts.to_parquet(path.parent / "facts.parquet")
    built = build_parts(
        path,
        out,
        parts=parts,
        rules=Rules(limits=limits or {}),
        facts=None if facts is None else path.parent / "facts.parquet",
        baseline=Baseline(**baseline, confirm="gallery", confirm_rows=len(load_catalogue(path))),
        progress=False,
    )
    catalogue = load_catalogue(path)
    checked = check(catalogue, facts, limits=limits)
    plan = plan_batch(catalogue, images=facts, findings=checked, **baseline)
    loaded = catalogue.attrs["findings"]
    by_row = built.findings["row"].notna() | built.findings["rule"].isin(checked["rule"])
    of_row = loaded["row"].notna()
    expected = pd.concat([loaded[of_row], checked], ignore_index=True)
    # Findings on the export as a whole, such as repaired names, are gathered from pieces.
    assert_rows(built.findings[by_row], expected)
    assert set(built.findings["rule"]) == {*loaded["rule"], *checked["rule"]} - {SHARED_IMAGE}
    assert_rows(built.findings.attrs["ran"], checked.attrs["ran"])
    assert_rows(read(built, "batch"), plan.batch, "line")
    assert_rows(read(built, "excluded"), plan.excluded)
    assert_rows(built.summary(), plan.summary())
    assert built.left == plan.left
    for folder in built.folders:
        meta = (folder / "increment.meta").read_bytes()
        assert meta.count(b"\n") == len(pd.read_parquet(folder / "batch.parquet"))
    return built


FACTS = st.dictionaries(
    st.sampled_from([name for name in NAMES if name]),
    st.tuples(st.sampled_from(["d1", "d2"]), st.sampled_from([30, 90, 500]), st.booleans()),
)


@settings(max_examples=15, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # shrinking takes minutes
@given(
    st.lists(ROW, min_size=1, max_size=40), KNOWN, st.none() | FACTS, st.integers(1, 4), st.booleans(), st.booleans()
)
def test_parts_are_the_whole(rows, known, looks, parts, delete_missing, as_parquet):
    with tempfile.TemporaryDirectory() as folder:
        frame = pd.DataFrame(rows)
        path = Path(folder) / ("export.parquet" if as_parquet else "export.csv")
        frame.to_parquet(path) if as_parquet else frame.to_csv(path, index=False)
        state = pd.DataFrame(known, columns=["ProductId", "PicName"]).astype("str").assign(CategoryId=1, state="held")
        state = state.astype({"CategoryId": "Int64", "state": "str"})
        known_state = {"known": state, "delete_missing": delete_missing} if known else {}
        facts = None
        if looks is not None:
            sizes = [(name, there, digest, size, size) for name, (digest, size, there) in looks.items()]
            facts = pd.DataFrame(sizes, columns=["PicName", "exists", "digest", "width", "height"])
            facts = facts.astype({"PicName": "str", "exists": "boolean", "digest": "str", "width": "Int64"})
        limits = {"placeholder_products": 2, "info_rows": 5}
        assert_same(path, Path(folder) / "out", parts=parts, facts=facts, limits=limits, **known_state)


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """A tenth of the demo shop's catalogue, saved as what a large shop would export."""
    made = demo_shop(every=PART, progress=False)
    path = tmp_path_factory.mktemp("export") / "catalogue.parquet"
    detached(load_catalogue(made.catalogue, columns=made.columns)).to_parquet(path)
    return path


def test_parts_of_the_demo_shop_are_the_whole(export, tmp_path):
    built = assert_same(export, tmp_path / "out", parts=3)
    assert len(built.folders) == 3
    assert tally_rules(built.findings)["count"].sum() == len(built.findings)


def lines(folder):
    return {file.parent.name: file.read_bytes() for file in Path(folder).rglob("increment.meta")}


def test_a_repeated_call_goes_on_where_the_last_one_stopped_and_sends_nothing_before_all_is_ready(
    export, tmp_path, monkeypatch, caplog
):
    whole = build_parts(export, tmp_path / "whole", parts=4, progress=False)
    out, seen = tmp_path / "out", []

    def stop_at(limit):
        def write(built, *args, **options):
            seen.append(built.folder.name)
            if len(seen) == limit:
                raise KeyboardInterrupt
            return write_folder(built, *args, **options)

        monkeypatch.setattr(build, "write_folder", write)

    stop_at(3)
    with pytest.raises(KeyboardInterrupt):
        build_parts(export, out, parts=4, progress=False)
    assert not lines(out)
    stop_at(0)
    monkeypatch.setattr(build, "divide", None)  # the rows are not divided again
    again = build_parts(export, out, parts=4, progress=False)
    assert seen == ["part-1", "part-2", "part-3", "part-3", "part-4"]
    assert "continues after 2 of 4 parts" in caplog.text
    assert lines(out) == lines(whole.folder)
    assert_rows(again.findings, whole.findings)
    build_parts(export, out, parts=4, progress=False)
    assert len(seen) == 5  # there was nothing left to do


def test_a_second_build_into_the_folder_of_a_running_one_is_refused(export, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr(build, "divide", lambda *args, **options: build_parts(export, out / ".." / "out", parts=2))
    with pytest.raises(ConfigError, match=r"build into .*: already running in another process"):
        build_parts(export, out, parts=2, progress=False)
    monkeypatch.undo()
    assert build_parts(export, out, parts=2, progress=False).folders


def test_what_a_killed_build_left_unfinished_is_removed_at_the_next_start(export, tmp_path):
    out = tmp_path / "out"
    build_parts(export, out, parts=2, progress=False)
    with Written(out).temporary() as folder:
        left = [out / f"{DRAFT}0123456789abcdef.json", out / "part-1" / f"{DRAFT}fedcba9876543210.held", folder]
        mine = [out / f"{DRAFT}mine", out / "part-1" / f"{DRAFT}0123456789abcdef"]
        mine[1].mkdir()  # a folder that is not in the log
        for file in (*left[:2], folder / "0", mine[0], mine[1] / "0"):
            file.write_bytes(b"half")
        build_parts(export, out, parts=2, progress=False)
        assert not any(each.exists() for each in left) and all(each.exists() for each in mine)


def test_a_changed_export_or_setting_starts_anew(export, tmp_path, caplog):
    out = tmp_path / "out"
    build_parts(export, out, parts=2, progress=False)
    build_parts(export, out, parts=2, rules=Rules(severity={"category-missing": "off"}), progress=False)
    assert "starts over, because of a change of: rule" in caplog.text
    fewer = tmp_path / "catalogue.parquet"
    pd.read_parquet(export).head(20).to_parquet(fewer)
    built = build_parts(fewer, out, parts=1, progress=False)
    assert "because of a change of: export, number of parts, rule" in caplog.text
    assert lines(out).keys() == {"part-1"}, "a part of the earlier export could be sent"
    assert built.rows == 20


def test_a_call_killed_while_it_starts_anew_leaves_no_part_or_finding_of_the_earlier_export(tmp_path, monkeypatch):
    frame = pd.DataFrame({"ProductId": map(str, range(20)), "PicName": "a.jpg", "CustomContent": "k:v"})
    frame.assign(CategoryId="x").to_parquet(tmp_path / "old.parquet")
    frame.head(5).assign(PicName="b.jpg").to_parquet(tmp_path / "new.parquet")
    out = tmp_path / "out"
    build_parts(tmp_path / "old.parquet", out, parts=3, baseline=Baseline(confirm_rows=20), progress=False)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "fresh_folder", killed)
    with pytest.raises(KeyboardInterrupt):
        build_parts(tmp_path / "new.parquet", out, parts=1, progress=False)
    monkeypatch.undo()
    built = build_parts(tmp_path / "new.parquet", out, parts=1, progress=False)
    assert lines(out).keys() == {"part-1"}, "a part of the earlier export could be sent"
    assert "category-not-integer" not in set(built.findings["rule"])


def test_starting_anew_clears_no_folder_that_is_not_a_part(tmp_path):
    frame = pd.DataFrame({"ProductId": map(str, range(20)), "PicName": "a.jpg", "CustomContent": "k:v"})
    path, out = tmp_path / "export.parquet", tmp_path / "out"
    frame.to_parquet(path)
    build_parts(path, out, parts=2, progress=False)
    shutil.copytree(out / "part-1", out / "part-1 sent on Monday")
    (out / "part-2" / "mine.txt").write_text("mine")
    kept = lines(out)
    frame.head(5).to_parquet(path)
    build_parts(path, out, parts=2, progress=False)
    assert lines(out)["part-1 sent on Monday"] == kept["part-1 sent on Monday"]
    assert (out / "part-2" / "mine.txt").exists()


def test_a_name_from_a_link_in_one_piece_keeps_the_names_of_all_pieces_as_exported(tmp_path):
    names = [f"p{n}.jpg" for n in range(60)]
    names[2] = "http://shop.example/a.jpg"
    path = tmp_path / "export.csv"
    path.write_text("ProductId,PicName\n" + "".join(f"{n},{name}\n" for n, name in enumerate(names)))
    built = assert_same(path, tmp_path / "out", parts=2)
    assert set(read(built, "catalogue")["PicName (source)"]) == set(names)


def test_too_many_exclusions_in_all_parts_together_leave_nothing_to_send_until_confirmed(tmp_path):
    rows = range(400)
    frame = pd.DataFrame({"ProductId": map(str, rows), "PicName": [f"{n}.jpg" for n in rows], "CustomContent": "k:v"})
    frame.loc[::2, "PicName"] = ""
    path, out = tmp_path / "export.parquet", tmp_path / "out"
    frame.to_parquet(path)
    with pytest.raises(ConfigError, match=r"200 of 400 rows .* confirm the number of rows in the export: 400"):
        build_parts(path, out, parts=2, progress=False)
    assert not lines(out)
    build_parts(path, out, parts=2, baseline=Baseline(confirm_rows=400), progress=False)
    assert sum(text.count(b"\n") for text in lines(out).values()) == 200


def test_deletions_in_all_parts_together_need_the_name_of_the_instance(tmp_path):
    frame = pd.DataFrame({"ProductId": ["1"], "PicName": ["1.jpg"], "CustomContent": "k:v"})
    path, out = tmp_path / "export.parquet", tmp_path / "out"
    frame.to_parquet(path)
    known = pd.DataFrame({"ProductId": ["1", "2", "3"], "PicName": ["1.jpg", "2.jpg", "3.jpg"]}).assign(state="held")
    baseline = Baseline(known=known, delete_missing=True, instance="shoes")
    with pytest.raises(ConfigError, match=r"deletes 2 images .* 'shoes'"):
        build_parts(path, out, parts=3, baseline=baseline, progress=False)
    assert not lines(out)
    built = build_parts(path, out, parts=3, baseline=replace(baseline, confirm="shoes"), progress=False)
    assert built.summary().set_index("what")["rows"].to_dict() == {"replace": 1, "delete": 2}
    # Planned again by itself, a part deletes nothing that belongs to another.
    for folder in built.folders:
        assert (replan_batch(folder, known, confirm="shoes").batch["OperationType"] == "DELETE").sum() <= 2
    assert sum(text.count(b"DELETE") for text in lines(out).values()) == 2


@pytest.mark.parametrize(
    ("name", "text", "columns", "message"),
    [
        ("a.csv", "Handle,Title,Image Src\na,A,a.jpg\n", None, "several records of a shopify export"),
        ("a.csv", "sku,image\n1,a.jpg\n", None, "name ProductId and PicName in the column map"),
        ("a.csv", "ProductId,PicName,price\n1,a.jpg,2\n", {"IntAttr": {"column": "price", "scale": 100}}, "decimal"),
        ("a.csv", 'ProductId,PicName\n1,a "b" c.jpg\n', None, "its quotes do not follow the standard"),
        ("a.csv", "ProductId,PicName\n1,a.jpg\n".encode("utf-16"), None, "only CSV in UTF-8 and Parquet"),
        ("a.json", '[{"ProductId": "1", "PicName": "a.jpg"}]', None, "only CSV in UTF-8 and Parquet"),
    ],
)
def test_an_export_that_only_the_whole_explains_is_refused_with_the_reason(tmp_path, name, text, columns, message):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CatalogueError, match=message):
        build_parts(path, tmp_path / "out", parts=2, columns=columns, progress=False)


def test_a_torn_record_is_named_wherever_the_file_is_cut(tmp_path):
    good = [f"{n},p{n}.jpg,k:v,{n}" for n in range(120)]
    for place in range(40, 80, 7):
        records = [*good[:place], "x,torn.jpg,k", ":v,7", *good[place:]]
        path = tmp_path / f"{place}.csv"
        path.write_text("ProductId,PicName,CustomContent,IntAttr\n" + "\n".join(records) + "\n")
        assert_same(path, tmp_path / f"out{place}", parts=2)


def test_a_folder_of_something_else_is_left_alone(export, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"contains 'mine.txt' and no parts.json"):
        build_parts(export, tmp_path, progress=False)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_the_command_builds_in_parts_and_says_what_does_not_go_with_them(export, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["build", str(export), "--parts", "2", "--out", "parts"]) == 1  # the demo shop has faulty rows
    printed = capsys.readouterr()
    assert "excluded" in printed.out
    assert printed.err.startswith("parts: 2 batch folders for ")
    assert "imgprep upload parts/part-1 --images DIR" in printed.err
    assert main(["build", str(export), "--parts", "2", "--out", "parts", "--keep-refused"]) == 2
    assert "--keep-refused: cannot be used with --parts; it compares predictions" in capsys.readouterr().err
    assert main(["build", str(export), "--parts", "2", "--out", "parts", "--images", "photos"]) == 2
    assert "build with --facts facts.parquet" in capsys.readouterr().err
    assert main(["build", str(export), "--parts", "2", "--out", "parts", "--last", str(export)]) == 2
    assert "the last export is not compared" in capsys.readouterr().err
    assert main(["build", str(export), "--facts", "facts.parquet", "--out", "batch"]) == 2
    assert "--facts: only for --parts" in capsys.readouterr().err


def test_a_large_export_without_images_is_built_in_parts_by_itself(export, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(build, "PARTS_FROM", 10)
    assert main(["build", str(export), "--out", "parts"]) == 1
    assert "are built in parts (--parts)" in capsys.readouterr().err
    assert lines("parts").keys() == {"part-1"}
