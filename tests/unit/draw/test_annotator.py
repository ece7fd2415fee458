"""RegionAnnotator's Python side: a proposal is stored only if it matches item, revision and file, on any thread."""

import io
import subprocess
import threading
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from imgprep.core.errors import RegionError
from imgprep.core.regions import Region
from imgprep.draw.annotator.queue import Item, arranged, find
from imgprep.draw.annotator.widget import RegionAnnotator, _keep_threads, front_end, join_modules
from imgprep.draw.store import RegionStore

BOX = {"x1": 10, "y1": 20, "x2": 60, "y2": 70}


@pytest.fixture
def widget(tmp_path):
    for number in range(3):
        Image.new("RGB", (100 + number, 80), "white").save(tmp_path / f"{number}.png")
    store = RegionStore(tmp_path / "regions.db", who="Ann")
    made = RegionAnnotator(["0.png", "1.png", "2.png", "gone.png"], tmp_path, store, suggest=False)
    made.sent = []
    made.send = lambda content, buffers=None: made.sent.append((content, buffers))
    yield made
    made.close()
    store.close()


def deliver(widget, **content):
    """Deliver a message on another thread, as JupyterLab's subshells do; return the answers."""
    before = len(widget.sent)
    message = {"view": "v", "session": widget._session, **content}
    thread = threading.Thread(target=widget._on_message, args=(widget, message, []))
    thread.start()
    thread.join()
    widget.finish()
    widget._picture_thread.submit(lambda: None).result()
    widget._suggest_thread.submit(lambda: None).result()
    return [content for content, _ in widget.sent[before:]]


def proposal(widget, number=0, **changes):
    digest = deliver(widget, type="want", ids=[number])[0]["digest"]
    message = {"type": "save", "key": "k1", "id": number, "pic_name": f"{number}.png", "rev": 0, "digest": digest}
    message |= {"size": [100 + number, 80], "state": "region", "region": BOX}
    return message | changes


def test_a_proposal_from_another_thread_is_stored_and_answered(widget):
    (answer,) = deliver(widget, **proposal(widget))
    assert answer["type"] == "saved"
    assert widget.store.get("0.png") == Region(**BOX)
    assert widget.store.entry("0.png").size == (100, 80)
    assert repr(widget) == "RegionAnnotator(4 images, 1 done)"
    assert widget.selected["PicName"].tolist() == ["0.png"]


@pytest.mark.parametrize(
    "changes",
    [
        {"id": 1},
        {"id": 99},
        {"id": True},
        {"pic_name": "1.png"},
        {"size": [80, 100]},
        {"size": None},
        {"digest": "0" * 32},
        {"rev": 7},
        {"rev": None},
        {"region": {"x1": 10, "y1": 20, "x2": 10, "y2": 70}},
        {"region": {"x1": 10, "y1": 20, "x2": 60, "y2": 81}},
        {"region": {"x1": -3, "y1": 20, "x2": 60, "y2": 70}},
        {"region": {"x1": 1.5, "y1": 20, "x2": 60, "y2": 70}},
        {"region": [10, 60, 20, 70]},
        {"region": None},
    ],
)
def test_a_proposal_that_does_not_match_is_refused_and_nothing_stored(widget, changes):
    (answer,) = deliver(widget, **proposal(widget, **changes))
    assert answer["type"] == "refused"
    assert answer["why"]
    assert len(widget.store.history()) == 0


def test_a_save_sent_twice_is_stored_once(widget):
    message = proposal(widget)
    assert deliver(widget, **message)[0]["rev"] == deliver(widget, **message)[0]["rev"]
    assert len(widget.store.history()) == 1


def test_a_repeated_hello_is_answered_once(widget):
    answers = deliver(widget, type="hello", session=None)
    assert [answer["type"] for answer in answers] == ["welcome", "arranged", "window"]
    assert deliver(widget, type="hello", session=None) == []
    assert deliver(widget, type="hello", session=None, view="another")[0]["type"] == "welcome"


def test_ipykernel_does_not_move_the_widgets_messages_to_the_main_thread(widget):
    from ipykernel.comm.comm import BaseComm

    class Comm(BaseComm):
        def publish_msg(self, *given, **named):
            pass

    comm = Comm(target_name="jupyter.widget")
    _keep_threads(comm)
    assert not getattr(comm, "_reply_subshell_for", None)


def test_the_state_and_revision_sent_of_an_item_belong_together(widget):
    entry = widget.store.put("0.png", None, state="whole")  # on the disk, while the widget's own list still has undone
    item = deliver(widget, type="thumbs", ids=[0])[0]["item"]
    assert (item["state"], item["rev"]) == ("whole", entry.revision)


def test_selected_has_its_columns_before_anything_is_decided(widget):
    assert list(widget.selected)[:3] == ["PicName", "ProductId", "state"]


def test_two_windows_cannot_overwrite_each_other_unseen(widget):
    deliver(widget, **proposal(widget))
    other = proposal(widget, key="k2", region=BOX | {"x2": 90})
    assert deliver(widget, **other)[0]["type"] == "refused"
    assert widget.store.get("0.png") == Region(**BOX)


def test_a_save_from_before_a_restart_finds_its_image_by_name(widget):
    message = proposal(widget, number=2) | {"session": "an older one", "id": 0, "pic_name": "2.png"}
    assert deliver(widget, **message)[0]["type"] == "saved"
    assert widget.store.frame()["PicName"].tolist() == ["2.png"]


def merged(widget, tmp_path):
    """Let Bo decide otherwise, and merge: the widget's store then has a conflict on 0.png."""
    widget.store.put("0.png", Region(**BOX), size=(100, 80))
    with RegionStore(tmp_path / "bo.db", who="Bo") as other:
        other.put("0.png", None, state="whole")
        widget.store.merge(other)
    answers = deliver(widget, type="arrange", show="conflict", order="given")
    return answers[-1]["items"]


def test_a_conflict_is_shown_with_both_sides_and_the_chosen_one_becomes_current(widget, tmp_path):
    (item,) = merged(widget, tmp_path)
    assert [(side["who"], side["state"]) for side in item["conflict"]] == [("Ann", "region"), ("Bo", "whole")]
    message = {"type": "decide", "key": "k", "id": 0, "pic_name": "0.png", "rev": item["rev"]}
    (answer,) = deliver(widget, **message, revision=item["conflict"][1]["rev"])
    assert (answer["type"], answer["item"]["state"], answer["item"]["conflict"]) == ("saved", "whole", [])
    assert widget.store.state("0.png") == "whole"
    assert len(widget.store.conflicts()) == 0


@pytest.mark.parametrize("changes", [{"rev": 0}, {"revision": 99}, {"revision": None}, {"revision": "2"}])
def test_a_conflict_is_not_settled_by_what_was_not_shown(widget, tmp_path, changes):
    (item,) = merged(widget, tmp_path)
    message = {"type": "decide", "key": "k", "id": 0, "pic_name": "0.png", "rev": item["rev"], "revision": 2}
    (answer,) = deliver(widget, **(message | changes))
    assert answer["type"] == "refused"
    assert widget.store.get("0.png") == Region(**BOX)
    assert len(widget.store.conflicts()) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright_for_every_orientation(widget, tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.new("RGB", (60, 40), "white")
    stored.paste((200, 0, 0), (0, 0, 20, 10))
    stored.save(tmp_path / "0.png", exif=exif)
    answer = deliver(widget, type="want", ids=[0])[0]
    upright = (60, 40) if orientation <= 4 else (40, 60)
    assert (answer["w"], answer["h"]) == upright
    sent = Image.open(io.BytesIO(widget.sent[-1 if widget.sent[-1][1] else -2][1][0]))
    assert sent.size == upright
    assert not sent.getexif().get(0x0112, 1) > 1, "the browser would turn it a second time"


@pytest.mark.parametrize(("kind", "name"), [("TIFF", "0.tif"), ("PPM", "0.ppm"), ("BMP", "0.bmp"), ("GIF", "0.gif")])
def test_formats_of_no_browser_are_converted(widget, tmp_path, kind, name):
    Image.new("RGB", (90, 70), (10, 120, 200)).save(tmp_path / name, kind)
    widget._queue.items[0].pic_name = name
    answer = deliver(widget, type="want", ids=[0])[0]
    assert (answer["mime"], answer["w"], answer["h"]) == ("image/jpeg", 90, 70)


def test_a_large_image_is_a_preview_and_at_full_resolution_where_looked_at(widget, tmp_path):
    big = Image.new("RGB", (5000, 3000), "white")
    big.paste((0, 0, 0), (4000, 2000, 4001, 2100))  # one pixel wide
    big.save(tmp_path / "0.png")
    answer = deliver(widget, type="want", ids=[0])[0]
    assert (answer["w"], answer["h"], answer["pw"], answer["ph"]) == (5000, 3000, 2048, 1229)
    before = len(widget.sent)
    detail = deliver(widget, type="detail", id=0, x1=3900, y1=1950, x2=4100, y2=2150)[0]
    assert (detail["pw"], detail["ph"]) == (200, 200)
    part = Image.open(io.BytesIO(widget.sent[before][1][0])).convert("L")
    assert part.getpixel((100, 100)) < 90 < part.getpixel((105, 100))


def test_a_changed_file_makes_its_region_the_suggestion(widget, tmp_path):
    widget.store.put("0.png", Region(**BOX), digest="another", size=(100, 80))
    item = deliver(widget, type="want", ids=[0])[0]["item"]
    assert (item["state"], item["suggestion"]) == ("stale", BOX)


@pytest.mark.parametrize(
    ("suggest", "method"),
    [
        (True, "border"),
        (lambda path: (Region(**BOX), 0.9), "own"),
        (lambda path: (Region(**BOX), 0.9, "grabcut"), "grabcut"),
    ],
)
def test_the_fate_of_a_suggestion_is_kept_with_its_method(tmp_path, suggest, method):
    shot = Image.new("RGB", (100, 80), "white")
    shot.paste((200, 0, 0), (10, 20, 60, 70))
    shot.save(tmp_path / "0.png")
    with RegionStore(tmp_path / "regions.db") as store:
        widget = RegionAnnotator(["0.png"], tmp_path, store, suggest=suggest)
        widget.sent = []
        widget.send = lambda content, buffers=None: widget.sent.append((content, buffers))
        item = deliver(widget, type="want", ids=[0])[-1]["items"][0]
        message = proposal(widget, region=item["suggestion"], rev=0)
        assert deliver(widget, **message)[0]["type"] == "saved"
        widget.close()
        assert store.suggestions()[["method", "fate"]].to_numpy().tolist() == [[method, "accepted"]]


def test_pictures_and_suggestions_of_a_zip_are_those_of_its_folder(widget, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(tmp_path / "0.png", "0.png")
    with RegionStore(tmp_path / "zip.db") as store:
        packed = RegionAnnotator(["0.png", "gone.png"], tmp_path / "photos.zip", store)
        packed.sent = []
        packed.send = lambda content, buffers=None: packed.sent.append((content, buffers))
        there, gone = deliver(packed, type="want", ids=[0, 1])[:2]
        assert there["digest"] == deliver(widget, type="want", ids=[0])[0]["digest"] and "missing" in gone["problem"]
        assert packed._images.suggestion(0).region == Region(x1=0, y1=0, x2=100, y2=80)
        assert deliver(packed, **proposal(packed))[0]["type"] == "saved"
        packed.close()


def test_a_missing_file_and_one_outside_the_folder_are_reported(widget):
    answer = deliver(widget, type="want", ids=[3])[0]
    assert "missing" in answer["problem"]
    widget._queue.items[3].pic_name = "../../etc/hostname"
    assert "points outside the image folder" in deliver(widget, type="want", ids=[3])[0]["problem"]


def test_pictures_travel_as_messages_and_never_as_state(widget):
    deliver(widget, type="want", ids=[0])
    assert isinstance(widget.sent[0][1][0], bytes)
    assert not any(isinstance(value, bytes) for value in widget.get_state().values())


def test_suggestions_of_the_next_page_are_computed_ahead(tmp_path):
    for number in range(3):
        Image.new("RGB", (90, 80), "white").save(tmp_path / f"{number}.png")
    asked = []

    def suggest(path):
        asked.append(path.name)
        return Region(**BOX), 0.5

    with RegionStore(tmp_path / "regions.db") as store:
        widget = RegionAnnotator(["0.png", "1.png", "gone.png", "2.png"], tmp_path, store, suggest=suggest)
        widget.sent = []
        widget.send = lambda content, buffers=None: widget.sent.append((content, buffers))
        deliver(widget, type="ahead", ids=[1, 2, 3])
        for _ in range(4):
            widget._suggest_thread.submit(lambda: None).result()
        assert asked == ["1.png", "2.png"]
        assert [content["items"][0]["pic_name"] for content, _ in widget.sent] == ["1.png", "2.png"]
        assert not any(buffers for _, buffers in widget.sent)
        widget.close()


def test_filters_and_search():
    items = [Item("a.jpg", None, ["1"]), Item("b.jpg", None, ["22"], status="region", flagged=True)]
    assert arranged(items, show="undone") == [0]
    assert arranged(items, show="flagged") == [1]
    assert (find(items, "22"), find(items, "B.J"), find(items, "zz")) == (1, 1, None)


def test_modules_join_into_one_without_imports():
    module, style = front_end()
    assert "\nimport " not in module
    assert module.count("export default") == 1
    assert ".innerHTML" not in module
    assert style.startswith("/*")


def test_joining_refuses_what_it_cannot_join(tmp_path):
    (tmp_path / "a.mjs").write_text('import { b } from "./b.mjs";\nexport const a = b;\nexport default { a };\n')
    (tmp_path / "b.mjs").write_text("export const b = 1;\n")
    assert join_modules(tmp_path, "a.mjs").index("const b") < join_modules(tmp_path, "a.mjs").index("const a")
    (tmp_path / "b.mjs").write_text("export const a = 1;\nexport const b = 1;\n")
    with pytest.raises(ValueError, match="both define a"):
        join_modules(tmp_path, "a.mjs")
    (tmp_path / "b.mjs").write_text('import x from "https://example.com/x.js";\nexport const b = 1;\n')
    with pytest.raises(ValueError, match="supported"):
        join_modules(tmp_path, "a.mjs")


@pytest.mark.parametrize("subject", ["geometry", "decisions", "position"])
def test_modules_under_node(subject):
    playwright = pytest.importorskip("playwright")
    node = Path(playwright.__file__).parent / "driver" / "node"
    if not node.exists():
        pytest.skip("Playwright carries no Node here")
    folder = Path(__file__).parents[2] / "browser"
    done = subprocess.run([node, "--test", folder / f"{subject}.test.mjs"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_services_box_is_shown_accepted_as_its_own_and_ordered_by_disagreement(tmp_path):
    for number in range(4):
        Image.new("RGB", (100 + number, 80), "white").save(tmp_path / f"{number}.png")
    names = [f"{number}.png" for number in range(4)]
    service = pd.DataFrame({"PicName": names[:3], **{edge: [value] * 3 for edge, value in BOX.items()}, "category": 1})
    with RegionStore(tmp_path / "regions.db") as store:
        store.put("1.png", Region(x1=0, y1=0, x2=10, y2=10))
        store.put("2.png", Region(**BOX))
        suggest = lambda file: (Region(x1=10, y1=20, x2=60, y2=45), 0.5)  # noqa: E731
        widget = RegionAnnotator(names, tmp_path, store, suggest=suggest, service=service, order="disagreement")
        widget.sent = []
        widget.send = lambda content, buffers=None: widget.sent.append((content, buffers))
        assert widget._queue.arrange("v", show="all", order="disagreement") == [1, 2, 0, 3]
        deliver(widget, type="want", ids=[0])
        assert widget._queue.arrange("v", show="all", order="disagreement") == [1, 0, 2, 3], "half of it is suggested"
        assert (answer := deliver(widget, **proposal(widget, service=True)))[0]["item"]["service"] == BOX
        assert (answer[0]["type"], store.entry("0.png").how) == ("saved", "service")
        other = {**BOX, "x2": 61}
        deliver(widget, **proposal(widget, 1, key="k2", rev=store.entry("1.png").revision, region=other, service=True))
        assert store.entry("1.png").how == "edited", "only the service's own box is recorded as the service's"
        widget._queue.items[2].service = widget._queue.items[2].service._replace(digest="another file's")
        assert widget._images.describe(2)["service"] == BOX, "the file is not read yet"
        assert deliver(widget, type="want", ids=[2])[0]["item"]["service"] is None
        widget.close()
        categories = service.assign(same_category=pd.array([True, None, False], dtype="boolean"))
        by_category = RegionAnnotator(names, tmp_path, store, service=categories, suggest=False)
        order = by_category._queue.arrange("v", show="all", order="disagreement")
        assert order[0] == 2, "its region agrees, but the service sees another category"
        by_category.close()
        with pytest.raises(RegionError, match="service: has no column category"):
            RegionAnnotator(names, tmp_path, store, service=service.drop(columns="category"))


def test_the_annotator_has_the_language_of_its_project_and_english_sends_no_texts(widget, tmp_path):
    assert widget.texts == {}
    home = tmp_path / "shop"
    home.mkdir()
    (home / "imgprep.toml").write_text('language = "zh"\n[shop]\npreset = "plain"\n', encoding="utf-8")
    Image.new("RGB", (100, 80), "white").save(home / "0.png")
    chinese = RegionAnnotator(["0.png", "gone.png"], home, home / "regions.db", suggest=False)
    assert chinese.texts["Save, next"] == "保存，下一张"
    html = chinese._repr_mimebundle_()["text/html"]
    for text in ("2 张图片，已完成 0 张", "没有建议", "这是面板的图片"):
        assert text in html
    assert chinese._images.problem(1, OSError("broken")) == "图片无法显示：broken。"
    chinese.sent = []
    chinese.send = lambda content, buffers=None: chinese.sent.append((content, buffers))
    (answer,) = deliver(chinese, **proposal(chinese, digest="0" * 32))
    assert answer["why"] == "0.png：画框期间文件有变化；请再看一次"
    chinese.close()
    english = RegionAnnotator(["0.png"], home, home / "regions.db", suggest=False, language="en")
    assert english.texts == {}
    english.close()
