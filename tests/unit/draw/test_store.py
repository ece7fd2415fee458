"""RegionStore: nothing lost, nothing overwritten, and every format there and back."""

import doctest
import json
import multiprocessing
import sqlite3
import subprocess
import sys
import threading

import pandas as pd
import pytest

from imgprep.core.errors import RegionError
from imgprep.core.regions import Region
from imgprep.draw import formats, schema, share
from imgprep.draw import store as store_module
from imgprep.draw.schema import refuse_network_drive
from imgprep.draw.share import assign
from imgprep.draw.store import FRAME_DTYPES, RegionStore

BOX = Region(x1=10, y1=20, x2=110, y2=220)
OTHER = Region(x1=0, y1=0, x2=50, y2=60)


@pytest.fixture
def store(tmp_path):
    with RegionStore(tmp_path / "regions.db", who="Ann") as opened:
        yield opened


@pytest.fixture
def full(store):
    store.put("a.jpg", BOX, size=(400, 300), digest="d1", note='=1+1, "quoted"\nline', flagged=True)
    store.put("b.jpg", None, state="whole")
    store.put("c.jpg", None, state="service", product_id="007")
    store.put("图 4.png", OTHER, product_id="P,1", how="accepted", size=(60, 60))
    return store


def test_a_region_is_there_after_reopening(store):
    store.put("a.jpg", BOX, size=(400, 300), digest="d1")
    store.close()
    with RegionStore(store.path) as again:
        assert again.get("a.jpg") == BOX
        assert again.state("a.jpg") == "region"


def test_the_three_states_and_undone_stay_apart(full):
    assert [full.state(name) for name in ("a.jpg", "b.jpg", "never.jpg")] == ["region", "whole", "undone"]
    assert full.state("c.jpg", "007") == "service"
    assert full.state("c.jpg") == "undone"
    full.put("b.jpg", None, state="undone")
    assert full.state("b.jpg") == "undone"
    assert "b.jpg" not in set(full.frame()["PicName"])


def test_a_changed_file_makes_its_region_stale(full):
    assert full.state("a.jpg", digest="d1") == "region"
    assert full.state("a.jpg", digest="other") == "stale"
    assert full.get("a.jpg") == BOX
    assert full.state("图 4.png", "P,1", digest="d9") == "stale"  # the file that it was drawn on is unknown
    assert full.state("b.jpg", digest="other") == "whole"


def test_a_products_own_region_comes_before_the_pictures(store):
    store.put("a.jpg", BOX)
    store.put("a.jpg", OTHER, product_id="2")
    assert store.get("a.jpg", "1") == BOX
    assert store.get("a.jpg", "2") == OTHER
    store.put("a.jpg", None, state="undone", product_id="2")
    assert store.get("a.jpg", "2") == BOX


def test_history_keeps_what_was_replaced(store):
    store.put("a.jpg", BOX, note="first", flagged=True)
    store.put("a.jpg", OTHER, how="edited", who="Bo")
    history = store.history("a.jpg")
    assert history["x2"].tolist() == [110, 50]
    assert history["who"].tolist() == ["Ann", "Bo"]
    assert store.entry("a.jpg").note == "first"
    assert store.entry("a.jpg").flagged


@pytest.mark.parametrize(
    ("region", "options"),
    [
        (BOX, {"size": (100, 300)}),
        (None, {}),
        (None, {"state": "region"}),
        (BOX, {"state": "whole"}),
        (BOX, {"how": "guessed"}),
    ],
)
def test_contradictions_are_refused(store, region, options):
    with pytest.raises(RegionError):
        store.put("a.jpg", region, **options)
    assert len(store.history()) == 0


def test_a_decision_made_on_an_older_revision_is_refused(store):
    first = store.put("a.jpg", BOX, expect=0)
    store.put("a.jpg", OTHER, expect=first.revision)
    with pytest.raises(RegionError, match="in the meantime"):
        store.put("a.jpg", BOX, expect=first.revision)
    assert store.get("a.jpg") == OTHER


def test_threads_write_together(store):
    def work(number):
        for step in range(20):
            store.put(f"{number}-{step}.jpg", BOX)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.frame()) == 80


def _work_elsewhere(path, number):
    with RegionStore(path) as store:
        for step in range(10):
            store.put(f"{number}-{step}.jpg", Region(x1=0, y1=0, x2=1, y2=1))


def test_processes_write_together(tmp_path):
    path = tmp_path / "regions.db"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_work_elsewhere, args=(path, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with RegionStore(path) as store:
        assert len(store.frame()) == 30


def test_saved_means_on_the_disk(store):
    connection = store.connection()
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_another_programs_file_is_left_alone(tmp_path):
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = other.read_bytes()
    with pytest.raises(RegionError, match="another program"):
        RegionStore(other)
    assert other.read_bytes() == before
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to look at" * 10)
    with pytest.raises(RegionError, match="not a region store"):
        RegionStore(text)


def test_a_later_schema_is_refused(store):
    store.connection().execute("PRAGMA user_version = 99")
    with pytest.raises(RegionError, match="upgrade"):
        RegionStore(store.path)


def test_a_network_drive_is_refused_with_the_remedy(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/share {tmp_path}/team\\040drive nfs4 rw 0 0\n")
    folder = tmp_path / "team drive"
    folder.mkdir()
    with pytest.raises(RegionError, match="merge"):
        refuse_network_drive(folder / "regions.db", mounts=mounts)
    refuse_network_drive(tmp_path / "regions.db", mounts=mounts)


def test_frame_has_the_agreed_columns_and_types(full):
    frame = full.frame()
    assert list(frame.columns) == list(FRAME_DTYPES)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == FRAME_DTYPES
    assert frame["x1"].isna().tolist() == [False, True, True, False]
    pd.concat([frame, frame])
    assert len(RegionStore(full.path).frame()) == 4


def same(one, two, columns):
    one, two = (pd.DataFrame(frame[columns]).reset_index(drop=True) for frame in (one, two))
    pd.testing.assert_frame_equal(one, two)


def test_csv_there_and_back(full, tmp_path):
    frame = full.frame()
    same(formats.loads_csv(formats.dumps_csv(frame)), frame, list(FRAME_DTYPES))
    with RegionStore(tmp_path / "copy.db") as copy:
        assert copy.load(formats.loads_csv(formats.dumps_csv(frame)), keep_history=True) == 4
        same(copy.frame(), frame, list(FRAME_DTYPES))


def test_csv_columns_are_found_by_name():
    found = formats.loads_csv("y2,x2,y1,x1,PicName\n220,110,20,10,a.jpg\n")
    assert found.loc[0, ["x1", "y1", "x2", "y2"]].tolist() == [10, 20, 110, 220]


@pytest.mark.parametrize(
    "text",
    [
        "PicName,x,y,width,height\na.jpg,1,2,3,4\n",
        "PicName,xmin,xmax,ymin,ymax\na.jpg,1,2,3,4\n",
        "PicName,x1,y1,x2,y2,Region\na.jpg,1,2,3,4,5\n",
        "PicName,x1,x2\na.jpg,1,2\n",
        "a.jpg,1,2,3,4\n",
        "PicName,x1,y1,x2,y2\na.jpg,1,2,0.5,4\n",
        "PicName,x1,y1,x2,y2\na.jpg,10,20,5,40\n",
        "PicName,x1,y1,x2,y2,image_width,image_height\na.jpg,1,2,30,40,20,50\n",
        "PicName,x1,y1,x2,y2,state\na.jpg,1,2,30,40,whole\n",
    ],
)
def test_a_csv_of_another_convention_is_not_read_as_ours(text):
    with pytest.raises(RegionError):
        formats.loads_csv(text)


def test_increment_meta_there_and_back(full):
    frame = full.frame()
    catalogue = pd.DataFrame({"PicName": ["a.jpg", "a.jpg", "b.jpg"], "ProductId": ["1", "2", "1"]})
    text = formats.dumps_region_meta(frame, catalogue)
    assert '"Region": "10,110,20,220"' in text
    back = formats.loads_region_meta(text)
    decided = [line for line in text.splitlines() if "Region" in line or "Crop" in line]
    assert formats.dumps_region_meta(back).splitlines() == decided, "a line without both is not a decision"
    with pytest.raises(RegionError, match="ProductId"):
        formats.dumps_region_meta(frame)


def test_coco_there_and_back(full):
    data = json.loads(json.dumps(formats.dumps_coco(full.frame())))
    assert data["annotations"][0]["bbox"] == [10, 20, 100, 200]
    same(formats.loads_coco(data), full.frame(), list(FRAME_DTYPES))


def test_coco_of_two_subjects_or_of_fractions_is_refused(full):
    data = formats.dumps_coco(full.frame())
    data["annotations"][0]["bbox"] = [1.5, 2, 3, 4]
    with pytest.raises(RegionError, match="whole number"):
        formats.loads_coco(data)
    data["annotations"][0]["bbox"] = [1.0, 2, 3, 4]
    data["annotations"].append(data["annotations"][0])
    with pytest.raises(RegionError, match="two boxes"):
        formats.loads_coco(data)


def test_bbox_widget_there_and_back(store):
    store.put("a.jpg", BOX)
    data = formats.dumps_bbox_widget(store.frame())
    assert data == {"a.jpg": [{"x": 10, "y": 20, "width": 100, "height": 200, "label": "subject"}]}
    same(formats.loads_bbox_widget(data), store.frame(), ["PicName", "state", "x1", "y1", "x2", "y2"])
    with pytest.raises(RegionError):
        formats.loads_bbox_widget({"a.jpg": [{"x1": 1, "y1": 1, "x2": 2, "y2": 2}]})


def test_an_import_is_all_or_nothing(store):
    frame = formats.loads_csv("PicName,x1,y1,x2,y2\na.jpg,1,2,3,4\nb.jpg,1,2,3,4\n")
    frame.loc[1, "x2"] = 0
    with pytest.raises(RegionError):
        store.load(frame)
    assert len(store.frame()) == 0


@pytest.fixture
def other(tmp_path):
    with RegionStore(tmp_path / "bo.db", who="Bo") as opened:
        yield opened


def outcomes(frame):
    return dict(zip(frame["PicName"], frame["outcome"], strict=True))


def test_merge_overwrites_nothing_and_lists_conflicts(store, other):
    store.put("both.jpg", BOX)
    other.put("both.jpg", OTHER)
    other.put("theirs.jpg", OTHER)
    store.put("same.jpg", BOX)
    other.put("same.jpg", BOX)
    assert outcomes(store.merge(other)) == {"both.jpg": "conflict", "same.jpg": "same", "theirs.jpg": "new"}
    assert store.get("both.jpg") == BOX
    assert store.get("theirs.jpg") == OTHER
    assert store.entry("theirs.jpg").who == "Bo"
    conflict = store.conflicts()
    assert conflict[["PicName", "who_ours", "who_theirs"]].to_numpy().tolist() == [["both.jpg", "Ann", "Bo"]]
    assert outcomes(store.merge(other.path))["both.jpg"] == "conflict"  # again: nothing changes
    assert len(store.conflicts()) == 1


def test_a_decided_conflict_is_no_conflict_when_merged_back(store, other):
    store.put("a.jpg", BOX)
    other.put("a.jpg", OTHER)
    store.merge(other)
    store.decide("a.jpg", revision=int(store.conflicts()["theirs"][0]))
    assert store.get("a.jpg") == OTHER
    assert len(store.conflicts()) == 0
    assert outcomes(other.merge(store))["a.jpg"] in ("same", "newer")
    store.put("a.jpg", BOX)
    assert outcomes(other.merge(store))["a.jpg"] == "newer"
    assert other.get("a.jpg") == BOX
    other_first = other.put("a.jpg", OTHER)
    assert outcomes(other.merge(store))["a.jpg"] == "older"
    assert other.entry("a.jpg") == other_first


def test_assign_keeps_a_product_and_shared_pictures_with_one_person():
    queue = pd.DataFrame({"ProductId": list("1123345"), "PicName": list("abccdef")})
    split = assign(queue, ["Ann", "Bo"])
    assert len(split) == len(queue)
    assert (split.groupby("ProductId")["person"].nunique() == 1).all()
    assert (split.groupby("PicName")["person"].nunique() == 1).all()
    assert set(split["person"]) == {"Ann", "Bo"}
    shared = assign(queue, ["Ann", "Bo"], shared=0.3)
    assert len(shared) > len(queue)


def test_agreement_is_iou_on_what_both_decided(store, other):
    store.put("a.jpg", Region(x1=0, y1=0, x2=10, y2=10))
    other.put("a.jpg", Region(x1=0, y1=0, x2=10, y2=5))
    store.put("b.jpg", BOX)
    other.put("b.jpg", None, state="whole")
    store.put("c.jpg", BOX)
    result = store.agreement(other)
    assert result["PicName"].tolist() == ["a.jpg", "b.jpg"]
    assert result["iou"][0] == 0.5
    assert result.attrs["summary"] == {"pictures": 2, "same_state": 0.5, "mean_iou": 0.5, "iou_90": 0.0}


def test_fates_of_suggestions_are_kept(store):
    store.note_suggestion("a.jpg", BOX, 0.9, "edited", final=Region(x1=10, y1=20, x2=110, y2=120))
    found = store.suggestions()
    assert found[["fate", "iou", "confidence"]].to_numpy().tolist() == [["edited", 0.5, 0.9]]


def test_a_store_of_the_first_schema_is_migrated_and_keeps_everything(tmp_path):
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    connection.executescript(schema._TABLES)
    connection.execute(f"PRAGMA application_id = {schema.APPLICATION}")
    connection.execute("PRAGMA user_version = 1")
    connection.execute(
        "INSERT INTO entry (uid, pic_name, product_id, state, x1, y1, x2, y2, how, at) "
        "VALUES ('u', 'a.jpg', '', 'region', 10, 20, 110, 220, 'drawn', '2026-01-01')"
    )
    connection.execute("INSERT INTO current VALUES ('a.jpg', '', 1)")
    connection.execute(
        "INSERT INTO suggestion VALUES ('a.jpg', '', 10, 20, 110, 220, 0.9, 'border', 'accepted', 1.0, '2026-01-01')"
    )
    connection.commit()
    connection.close()
    for _ in range(2):  # the second time there is nothing left to do
        with RegionStore(path, who="Ann") as store:
            assert store.get("a.jpg") == BOX
            assert store.suggestions()[["fate", "confidence"]].to_numpy().tolist() == [["accepted", 0.9]]
            assert store.connection().execute("PRAGMA user_version").fetchone()[0] == schema.VERSION
    with RegionStore(path, who="Ann") as store:
        store.note_suggestion("b.jpg", BOX, 0.4, "replaced", final=OTHER)
        assert store.suggestions()["who"].tolist()[1] == "Ann"


def _saves(path, ready, stop):
    with RegionStore(path) as store:
        number = 0
        while not stop.wait(0.005):  # as fast as a disk saves, where files are in memory
            store.put(f"{number}.jpg", BOX)
            number += 1
            ready.set()


def test_a_store_is_merged_while_another_process_saves_in_it(store, tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Event(), context.Event()
    writer = context.Process(target=_saves, args=(str(tmp_path / "theirs.db"), ready, stop))
    writer.start()
    try:
        assert ready.wait(60)
        with RegionStore(tmp_path / "theirs.db") as theirs:
            for _ in range(20):
                store.merge(theirs)  # opened for writing, and
                store.merge(theirs.path)  # copied
    finally:
        stop.set()
        writer.join()
    assert set(outcomes(store.merge(tmp_path / "theirs.db")).values()) <= {"new", "same"}


def test_what_is_saved_during_a_merge_is_left_for_the_next(store, other, monkeypatch):
    other.put("before.jpg", BOX)
    whole = RegionStore.entries

    def saved_meanwhile(self):
        if self is other:
            with RegionStore(other.path) as elsewhere:
                elsewhere.put("meanwhile.jpg", BOX)
        return whole(self)

    monkeypatch.setattr(RegionStore, "entries", saved_meanwhile)
    assert outcomes(store.merge(other)) == {"before.jpg": "new"}
    assert outcomes(store.merge(other))["meanwhile.jpg"] == "new"


def _contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_an_old_store_is_merged_and_read_without_a_change_to_its_folder(store, tmp_path):
    folder = tmp_path / "medium"
    with RegionStore(folder / "old.db") as made:
        made.put("a.jpg", BOX)
    for statement in ("DROP INDEX suggestion_uid", "ALTER TABLE suggestion DROP COLUMN uid"):
        _execute(folder / "old.db", statement)
    _execute(folder / "old.db", "ALTER TABLE suggestion DROP COLUMN who")
    _execute(folder / "old.db", "PRAGMA user_version = 1")
    before = _contents(folder)
    assert outcomes(store.merge(folder / "old.db")) == {"a.jpg": "new"}
    with RegionStore(folder / "old.db", read_only=True) as read:
        assert read.get("a.jpg") == BOX
        with pytest.raises(RegionError, match="read-only"):
            read.put("a.jpg", OTHER)
    assert _contents(folder) == before


def test_what_a_killed_process_left_on_a_read_only_medium_is_read(tmp_path, monkeypatch):
    folder, medium = tmp_path / "made", tmp_path / "medium"
    with RegionStore(folder / "a.db") as made:
        made.put("a.jpg", BOX)
        medium.mkdir()
        for file in ("a.db", "a.db-wal"):  # what it saved is only in the second
            (medium / file).write_bytes((folder / file).read_bytes())
    connect = sqlite3.connect

    def refusing(path, *given, **named):
        if named.get("uri"):  # root may write everywhere, so that only SQLite's answer is imitated
            raise sqlite3.OperationalError("unable to open database file")
        return connect(path, *given, **named)

    monkeypatch.setattr(schema.sqlite3, "connect", refusing)
    before = _contents(medium)
    with RegionStore(medium / "a.db", read_only=True) as read:
        assert read.get("a.jpg") == BOX
    assert _contents(medium) == before


def test_a_read_only_store_that_does_not_exist_is_not_created(tmp_path):
    with pytest.raises(RegionError, match="does not exist"):
        RegionStore(tmp_path / "none.db", read_only=True)
    assert not list(tmp_path.iterdir())


def _execute(path, statement):
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


def test_merge_copies_fates_of_suggestions_once(store, other):
    store.note_suggestion("a.jpg", BOX, 0.9, "accepted", final=BOX)
    other.note_suggestion("b.jpg", BOX, 0.3, "replaced", final=OTHER)
    store.merge(other)
    store.merge(other)
    other.merge(store)
    assert store.suggestions()["who"].tolist() == ["Ann", "Bo"]
    assert len(other.suggestions()) == 2


def test_the_store_decides_a_conflict_itself(store, other):
    store.put("a.jpg", BOX, product_id="7")
    other.put("a.jpg", None, state="whole", product_id="7")
    store.merge(other)
    store.decide("a.jpg", "7", revision=int(store.conflicts()["theirs"][0]))
    assert store.state("a.jpg", "7") == "whole"
    assert len(store.conflicts()) == 0
    assert len(store.history("a.jpg")) == 3
    with pytest.raises(RegionError, match="no revision 99"):
        store.decide("a.jpg", "7", revision=99)


_KEEP_WRITING = """
import sys
from imgprep import Region, RegionStore
store = RegionStore(sys.argv[1])
for step in range(100_000):
    store.put(f"{step}.jpg", Region(x1=0, y1=0, x2=step + 1, y2=1))
    print(step, flush=True)
"""


def test_what_was_saved_survives_a_kill_while_writing(tmp_path):
    path = tmp_path / "regions.db"
    with subprocess.Popen([sys.executable, "-c", _KEEP_WRITING, path], stdout=subprocess.PIPE, text=True) as writer:
        for line in writer.stdout:
            if int(line) >= 25:
                break
        writer.kill()  # SIGKILL: no clean-up of any kind
        saved = max(map(int, line.split() + writer.stdout.read().split()[:-1]))
    with RegionStore(path) as store:
        assert all(store.get(f"{step}.jpg") == Region(x1=0, y1=0, x2=step + 1, y2=1) for step in range(saved + 1))
        assert store.connection().execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        store.put("after.jpg", BOX)


def test_a_full_disk_is_reported_and_changes_nothing(store):
    store.put("a.jpg", BOX)
    pages = store.connection().execute("PRAGMA page_count").fetchone()[0]
    store.connection().execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RegionError, match=r"regions.db: the disk is full \(free in .*bytes\); free some space"):
        store.put("b.jpg", BOX, note="x" * 100_000)
    store.connection().execute("PRAGMA max_page_count = 100000")
    assert store.frame()["PicName"].tolist() == ["a.jpg"]
    store.put("b.jpg", BOX)


def test_a_file_that_may_not_be_written_is_reported(store):
    store.put("a.jpg", BOX)
    store.connection().execute("PRAGMA query_only = ON")
    with pytest.raises(RegionError, match="is not writable; change its permissions"):
        store.put("b.jpg", BOX)
    (store.path.parent / "file").touch()
    with pytest.raises(RegionError, match="its folder cannot be created"):
        RegionStore(store.path.parent / "file" / "sub" / "regions.db")
    with pytest.raises(RegionError, match=r"cannot be opened|cannot be used"):
        RegionStore(store.path.parent)


def test_the_folder_of_a_new_store_is_created(tmp_path):
    with RegionStore(tmp_path / "shop" / "work" / "regions.db") as made:
        made.put("a.jpg", BOX)
    assert (tmp_path / "shop" / "work" / "regions.db").is_file()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{not json", "is not JSON"),
        ("a.json", b"[1, 2]", "not a COCO data set"),
        ("a.json", b'{"images": [{"id": 1}], "annotations": []}', "an image of the COCO data set has no 'file_name'"),
        ("a.json", b'{"images": [], "annotations": [{"bbox": [1, 2, 3, 4]}]}', "has no 'image_id'"),
        ("a.csv", b"PicName,x1,y1,x2,y2\n\xff\xfe.jpg,1,2,3,4\n", "not UTF-8"),
        ("a.xlsx", b"", "is not an Excel workbook"),
        ("a.docx", b"", "are read from"),
        ("a.json", b'{"a.jpg": 1}', "not a COCO data set"),
        ("missing.csv", None, "does not exist"),
    ],
)
def test_a_file_of_regions_that_cannot_be_read_gives_the_reason(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(RegionError, match=message):
        formats.read_regions(tmp_path / name)


def test_regions_saved_by_excel_with_a_bom_are_read(tmp_path):
    (tmp_path / "a.csv").write_text("PicName,x1,y1,x2,y2\na.jpg,1,2,3,4\n", encoding="utf-8-sig")
    assert formats.read_regions(tmp_path / "a.csv")["PicName"].tolist() == ["a.jpg"]


def test_examples_in_the_docstrings_hold():
    assert [doctest.testmod(module).failed for module in (store_module, formats, share)] == [0, 0, 0]
