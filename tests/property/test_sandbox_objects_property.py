"""Any key is stored, found and listed unchanged, and only in the sandbox's folder."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from imgprep.sandbox.http import Request
from imgprep.sandbox.oss import protocol as xml
from imgprep.sandbox.oss.service import read_call
from imgprep.sandbox.oss.storage import ObjectStore, Uploads

KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40) | st.sampled_from(
    ["..", "../../x", "a//b", "%2F", "a+b", "CON", "a\0b", "/x", "a/", "中文/图.jpg", "e\u0301", "\u00e9"]
)
FEW = st.text("ab/", min_size=1, max_size=6)


def listed(keys, prefix, delimiter, limit):
    """Everything that paging gives: (keys, common prefixes)."""
    with tempfile.TemporaryDirectory() as folder:
        store = ObjectStore(Path(folder))
        store.create_bucket("demo", "r", 0)
        for key in keys:
            store.put("demo", key, b"", modified=1)
        found, common, after, more = [], [], "", True
        while more:
            entries, prefixes, after = store.page("demo", prefix=prefix, after=after, delimiter=delimiter, limit=limit)
            assert len(entries) + len(prefixes) <= limit
            found += [entry.key for entry in entries]
            common += prefixes
            more = bool(after)
        return found, common


@given(st.dictionaries(KEYS, st.binary(max_size=50), max_size=8))
def test_any_key_survives_a_restart_and_stays_in_the_folder(objects):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        store = ObjectStore(root)
        store.create_bucket("demo", "r", 0)
        for key, data in objects.items():
            store.put("demo", key, data, modified=1, headers={"x-oss-meta-a": key})
        for known in (store, ObjectStore(root)):
            assert [entry.key for entry in known.iter("demo")] == sorted(objects, key=str.encode)
            for key, data in objects.items():
                read, entry = known.get("demo", key)
                assert (read, entry.key, entry.size, entry.headers["x-oss-meta-a"]) == (data, key, len(data), key)
        for key in objects:
            assert store.delete("demo", key)
        assert not list(store.iter("demo"))
        assert {path.name for path in Path(folder).iterdir()} == {"root"}
        assert {path.name for path in root.iterdir()} == {"demo"}


@settings(max_examples=150, deadline=None)
@given(st.sets(FEW, max_size=12), st.text("ab/", max_size=3), st.sampled_from(["", "/", "ab", "a"]), st.integers(1, 5))
def test_pages_give_the_same_as_one_listing_of_all_keys(keys, prefix, delimiter, limit):
    plain, common = [], set()
    for key in sorted(key for key in keys if key.startswith(prefix)):
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        if end >= 0:
            common.add(key[: end + len(delimiter)])
        else:
            plain.append(key)
    assert listed(keys, prefix, delimiter, limit) == (plain, sorted(common))


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_stays_one_element(text):
    root = xml.loads(xml.dumps("R", {"A": text.translate(dict.fromkeys((*range(32), 65534, 65535)))}), "R")
    assert len(root) == 1


@given(st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: not text.startswith("?")))
def test_any_path_has_an_operation(text):
    assert read_call(Request("GET", "/" + text)).operation in ("GetObject", "ListObjects", "ListBuckets")


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=6))
def test_parts_become_the_whole_also_after_a_restart(parts):
    with tempfile.TemporaryDirectory() as folder:
        store = ObjectStore(Path(folder))
        store.create_bucket("demo", "r", 0)
        begun = Uploads(store).begin("demo", "k", {"content-type": "x/y"}, 1)
        uploads = Uploads(ObjectStore(Path(folder)))
        upload = uploads.find("demo", "k", begun.id)
        wanted = [(number, uploads.put_part(upload, number, data, 2).etag) for number, data in enumerate(parts, 1)]
        store = ObjectStore(Path(folder))
        again = Uploads(store)
        entry = again.complete(again.find("demo", "k", begun.id), wanted, now=3, min_part=0, overwrite=True)
        assert store.get("demo", "k")[0] == b"".join(parts)
        assert entry.etag.endswith(f"-{len(parts)}")
        assert entry.headers == {"content-type": "x/y"}
        assert not again.of_bucket("demo")
