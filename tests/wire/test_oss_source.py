"""Images that stay in OSS: listed once, read by ranges, copied by the service, and never written over."""

import hashlib
import json
import os
import pickle
import random
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image, PngImagePlugin

from imgprep.core.errors import ConfigError, StorageError
from imgprep.core.settings import OssRoot, Settings
from imgprep.draw.annotator.widget import RegionAnnotator
from imgprep.images.found import Problem, Unfit
from imgprep.images.oss import WHOLE, OssFolder, open_folder
from imgprep.images.thumbnails import thumb_of
from imgprep.look import probe
from imgprep.look.inspect import inspect_images
from imgprep.plan.batch_folder import JOURNAL
from imgprep.plan.build import build_batch, preview_batch
from imgprep.plan.model import Baseline
from imgprep.sandbox.faults import Fault
from imgprep.sandbox.oss import operations
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.access import documents
from imgprep.ship.gallery import gallery_state
from imgprep.ship.preflight import preflight
from imgprep.ship.submit import submit
from imgprep.ship.upload import upload
from imgprep.shop import open_project
from tests.unit.images_made import encoded, photo, turned

BUCKET = "their-photos"


def noise(side: int) -> Image.Image:
    return Image.frombytes("RGB", (side, side), random.Random(side).randbytes(3 * side * side))


def files() -> dict[str, bytes]:
    """Files of every kind, of which the large ones are more than a request may read."""
    big, author = photo(1, (1500, 1200)), PngImagePlugin.PngInfo()
    author.add_text("Author", "Jo Doe")
    exif = Image.Exif()
    exif[0x0112] = 6
    jpeg, png = encoded(noise(260), quality=95), encoded(noise(200), "PNG")
    late = png[:-12] + encoded(noise(8), "PNG", pnginfo=author)[33:-12]  # replaced below by a chunk after the pixels
    text = next(part for part in (late[late.rfind(b"tEXt") - 4 :],))
    size = int.from_bytes(text[:4], "big") + 12
    return {
        "jpeg.jpg": jpeg,
        "exif.jpg": encoded(noise(260), quality=95, exif=exif),
        "long.jpg": encoded(noise(220), quality=95, exif=exif, icc_profile=os.urandom(60_000)),
        "cut.jpg": jpeg[:-3000],
        "png.png": png,
        "early.png": encoded(noise(200), "PNG", pnginfo=author),
        "late.png": png[:-12] + text[:size] + png[-12:],
        "cut.png": png[:-50],
        "webp.webp": encoded(noise(220), "WEBP", quality=100, exif=exif),
        "gif.gif": encoded(big, "GIF"),
        "small.jpg": encoded(photo(2)),
        "page.jpg": b"<html>" + b"x" * 100_000,
        "empty.jpg": b"",
        "new/turned.jpg": turned(photo(3), 6),
    }


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(task_seconds=0, buckets=[BUCKET]) as server:
        yield server


@pytest.fixture(autouse=True)
def fresh(sandbox):
    sandbox.set_faults()
    sandbox.forget_requests()
    yield
    for entry in list(sandbox.store.iter(BUCKET)):
        sandbox.store.delete(BUCKET, entry.key)
    for entry in list(sandbox.store.iter(sandbox.switches.bucket)):
        sandbox.store.delete(sandbox.switches.bucket, entry.key)


def put(sandbox, made: dict[str, bytes], prefix: str = "photos/", bucket: str = BUCKET, **options) -> OssRoot:
    for name, data in made.items():
        sandbox.store.put(bucket, prefix + name, data, modified=1_790_000_000.0, **options)
    return OssRoot.parse(f"oss://{bucket}/{prefix}", sandbox.settings)


def operations_of(sandbox) -> Counter:
    return Counter(request.operation for request in sandbox.requests)


def test_pixels_that_are_not_looked_at_are_not_copied_to_the_process_that_looks(sandbox):
    made = {"a.jpg": encoded(noise(200), quality=90), "a.png": encoded(noise(100), "PNG"), "b.png": encoded(noise(40))}
    folder = open_folder(put(sandbox, made))
    for name, data in made.items():
        fetched = folder.fetch(folder.find(name), whole=False)
        if len(data) > 20_000:
            assert len(fetched.data) < len(data) / 2 and fetched.digest == hashlib.md5(data).hexdigest()
        assert folder.fetch(folder.find(name), whole=True) == (data, True, None)


@pytest.mark.parametrize("tier", ["stat", "header", "decode"])
def test_facts_are_those_of_the_same_files_in_a_folder(sandbox, tmp_path, tier):
    made = files()
    for name, data in made.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    names = [*made, "none.jpg", "../secret.jpg"]
    local = inspect_images(names, tmp_path, tier=tier, progress=False)
    there = inspect_images(names, put(sandbox, made), tier=tier, progress=False)
    ignored = ["mtime_ns", "detail", *(["digest"] if tier == "stat" else [])]
    pd.testing.assert_frame_equal(there.drop(columns=ignored), local.drop(columns=ignored))
    reads = [request for request in sandbox.requests if request.operation == "GetObject"]
    if tier == "stat":
        assert not reads and there["digest"].notna().sum() == len(made)
    if tier == "decode":
        assert max(Counter(request.key for request in reads).values()) == 1
    if tier == "header":
        for name in ("jpeg.jpg", "exif.jpg", "png.png", "early.png", "late.png", "small.jpg"):
            parts = [request.sent for request in reads if request.key.endswith(f"/{name}")]
            assert sum(parts) <= WHOLE and len(parts) <= (1 if len(made[name]) <= WHOLE else 3)


def test_many_images_cost_one_listing_and_an_unchanged_one_no_request(sandbox, tmp_path):
    made = {f"{number}.jpg": encoded(photo(number, (40, 30))) for number in range(30)}
    root = put(sandbox, made)
    first = inspect_images(made, root, tier="header", cache=tmp_path, progress=False)
    assert operations_of(sandbox) == {"ListObjects": 1, "GetObject": 30}
    sandbox.forget_requests()
    other = made["0.jpg"][:-2] + b"xx"  # of the same length, in the same second
    sandbox.store.put(BUCKET, "photos/0.jpg", other, modified=1_790_000_000.0)
    sandbox.store.put(BUCKET, "photos/copy.jpg", made["1.jpg"], modified=1_790_000_000.0)
    again = inspect_images([*made, "copy.jpg"], root, tier="header", cache=tmp_path, progress=False)
    assert operations_of(sandbox) == {"ListObjects": 1, "GetObject": 1}
    assert again["digest"].iloc[0] != first["digest"].iloc[0]
    assert again["width"].iloc[30] == 40 and again["PicName"].iloc[30] == "copy.jpg"


def test_an_object_without_an_md5_is_read_whole_once_so_that_a_plan_sees_its_changes(sandbox, tmp_path):
    made = {"a.jpg": encoded(noise(260), quality=95), "b.jpg": encoded(noise(261), quality=95)}
    root = put(sandbox, made, etag=f"{'A' * 32}-2", kind="Multipart")
    assert min(map(len, made.values())) > WHOLE

    def look() -> tuple[list, Counter]:
        sandbox.forget_requests()
        folder = open_folder(root)
        folder.list_once()
        facts = inspect_images(made, folder, tier="header", cache=tmp_path / "cache", progress=False)
        return facts["digest"].tolist(), operations_of(sandbox)

    digests = [hashlib.md5(data).hexdigest() for data in made.values()]
    assert look() == (digests, {"ListObjects": 1, "GetObject": 2})
    assert look() == (digests, {"ListObjects": 1})
    built, log = ship(sandbox, root, made, tmp_path)
    assert log["outcome"].tolist() == ["copied", "copied", "uploaded"] and log["verified"].iloc[0] == "crc64"
    run = submit(built.folder, sandbox.settings, runs=tmp_path / "runs").follow(progress=False)
    known = gallery_state([run])
    # As large as before, in the same second: only the ETag differs.
    changed = made["a.jpg"][:-10] + b"another!" + made["a.jpg"][-2:]
    put(sandbox, {"a.jpg": changed}, etag=f"{'B' * 32}-2", kind="Multipart")
    assert look()[0] == [hashlib.md5(changed).hexdigest(), digests[1]]
    plan, _, _ = preview_batch(catalogue_of(made), root, baseline=Baseline(known=known), progress=False)
    assert plan.batch["PicName"].tolist() == ["a.jpg"] and "image" in plan.batch["reason"].iloc[0]


def test_objects_that_cannot_be_used_say_why(sandbox):
    data = encoded(photo())
    root = put(sandbox, {"a.jpg": data, "line\nbreak.jpg": data, "x/../a.jpg": data})
    put(sandbox, {"cold.jpg": data}, storage="ColdArchive")
    put(sandbox, {"link.jpg": data}, kind="Symlink")
    names = ["a.jpg", "line\nbreak.jpg", "x/../a.jpg", "cold.jpg", "link.jpg"]
    for listed in (False, True):
        folder = open_folder(root)
        if listed:
            folder.list_once()
        facts = inspect_images(names, folder, tier="header", progress=False)
        expected = [None, "not_a_file", "outside_root", "archived", "not_a_file"]
        assert facts["problem"].astype(object).where(facts["problem"].notna(), None).tolist() == expected
    assert "restore it" in facts["detail"].iloc[3] and "symbolic link" in facts["detail"].iloc[4]


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({"foreign": [BUCKET]}, "needs oss:ListObjects on acs:oss:*:*:their-photos"),
        ({"requester_pays": [BUCKET]}, "pay-by-requester"),
        ({"buckets": {BUCKET: "cn-beijing"}}, "images_endpoint = oss-cn-beijing.aliyuncs.com"),
        ({"denied_operations": ["ListObjects"]}, "needs oss:ListObjects"),
        ({"buckets": []}, "NoSuchBucket"),
    ],
)
def test_a_folder_out_of_reach_is_one_error_that_names_the_remedy(switches, expected):
    with Sandbox(**{"buckets": [BUCKET], **switches}) as server:
        root = OssRoot.parse(f"oss://{BUCKET}/photos", server.settings)
        with pytest.raises(StorageError, match="their-photos") as error:
            inspect_images([f"{number}.jpg" for number in range(30)], root, tier="header", progress=False)
        assert expected in str(error.value)
        checks = preflight(server.settings.with_(images=root)).set_index("check")
        assert checks.loc["may list the images", "result"] == "fail"


def test_an_object_that_may_not_be_read_is_a_finding_of_its_own(sandbox):
    root = put(sandbox, {"a.jpg": encoded(photo()), "b.jpg": encoded(photo(2))})
    sandbox.set_faults(Fault("denied", operation="GetObject", key="*/b.jpg"))
    facts = inspect_images(["a.jpg", "b.jpg"], root, tier="decode", progress=False)
    assert facts["problem"].tolist()[1] == "forbidden" and facts["decodes"].tolist()[0] is True


def test_a_server_that_lies_is_not_believed(sandbox, monkeypatch):
    data = encoded(noise(300), quality=95)
    folder = OssFolder(put(sandbox, {"a.jpg": data}), patience=0)
    found = folder.find("a.jpg")
    sandbox.set_faults(Fault("corrupt", operation="GetObject", count=1))
    assert folder.read(found) == data  # damaged once, read again
    for fault, part in (("corrupt", "twice"), ("wrong_etag", "changed since"), ("reset_body", "no answer")):
        sandbox.set_faults(Fault(fault, operation="GetObject"))
        with pytest.raises(Unfit, match=part):
            folder.read(found)
    sandbox.set_faults()
    real = operations.read_range
    monkeypatch.setattr(operations, "read_range", lambda *given: (given and real(*given)[0], 100))
    with pytest.raises(Unfit, match=r"requested bytes 0-8191") as short:
        folder.fetch(found, whole=False)
    assert short.value.problem is Problem.UNREADABLE
    monkeypatch.setattr(operations, "read_range", lambda *given: None)  # the whole object, whatever was asked for
    assert len(folder.fetch(found, whole=False).data) < len(data)


def catalogue_of(names) -> pd.DataFrame:
    return pd.DataFrame({"ProductId": [f"P{at}" for at in range(len(names))], "PicName": list(names)}).assign(
        row=range(1, len(names) + 1), CustomContent="title:lamp"
    )


def photographs(count: int, broken: int) -> dict[str, bytes]:
    """Files of about 1 MB, and so many that must be turned upright, which are about half as large."""
    junk = random.Random(0).randbytes(1_000_000).replace(b"\xff", b"\xfe")
    good = [encoded(photo(seed, (400, 300))) for seed in range(8)]
    lying = [turned(photo(seed, (2000, 1500)), 6, quality=95) for seed in range(min(broken, 4))]
    made = {}
    for at in range(count):
        if at < broken:
            made[f"{at:04d}.jpg"] = lying[at % len(lying)] + bytes([at % 251, at // 251])
        else:  # junk between the pixels and the end marker, which only a decoder would notice
            data = good[at % 8]
            made[f"{at:04d}.jpg"] = data[:-2] + junk[: -at - 1] + data[-2:]
    return made


def ship(sandbox, root: OssRoot, names, folder: Path, **options):
    built = build_batch(
        catalogue_of(names), root, folder / "batch", target=sandbox.settings.target, progress=False, **options
    )
    return built, upload(built.folder, None, sandbox.settings.with_(images=root), progress=False, runs=folder / "runs")


def assert_little_moves(sandbox, folder: Path, count: int) -> None:
    made = photographs(count, count // 20)
    root = put(sandbox, made)
    before = {entry.key: entry.etag for entry in sandbox.store.iter(BUCKET)}
    sandbox.forget_requests()
    built, log = ship(sandbox, root, made, folder)
    assert sum(sandbox.moved()) <= 0.1 * sum(map(len, made.values()))
    assert log["outcome"].value_counts().to_dict() == {"copied": count - count // 20, "uploaded": count // 20 + 1}
    assert {entry.key: entry.etag for entry in sandbox.store.iter(BUCKET)} == before
    done = submit(built.folder, sandbox.settings, runs=folder / "runs").follow(progress=False)
    assert done.outcome["outcome"].eq("imported").all() and len(done.outcome) == count


def test_a_batch_from_oss_to_oss_moves_a_tenth_of_its_bytes(sandbox, tmp_path):
    assert_little_moves(sandbox, tmp_path, 40)


def test_images_below_the_path_are_referred_to_and_never_written_over(sandbox, tmp_path):
    made = {"a.jpg": encoded(photo(1)), "b.jpg": turned(photo(2), 6), "c.jpg": encoded(photo(3))}
    bucket = sandbox.switches.bucket
    root = put(sandbox, made, "increment/photos/", bucket)
    _, log = ship(sandbox, root, made, tmp_path)
    named = dict(zip(log["PicName"].fillna("meta"), log["outcome"], strict=True))
    expected = {"photos/a.jpg": "referenced", "photos/b.ready.jpg": "uploaded", "photos/c.jpg": "referenced"}
    assert named == {**expected, "meta": "uploaded"}
    assert not operations_of(sandbox)["CopyObject"]
    for name, data in made.items():
        assert sandbox.store.get(bucket, f"increment/photos/{name}")[0] == data
    # A changed original gives a new copy, which replaces ours: it is marked as such.
    sandbox.store.put(bucket, "increment/photos/b.jpg", turned(photo(9), 6), modified=1.0)
    built = build_batch(catalogue_of(made), root, tmp_path / "batch", target=sandbox.settings.target, progress=False)
    log = upload(built.folder, None, sandbox.settings, progress=False, replace=True, runs=tmp_path / "runs")
    assert log["outcome"].value_counts().to_dict() == {"referenced": 2, "uploaded": 1, "unchanged": 1}


def test_a_key_that_is_an_original_is_refused(sandbox, tmp_path):
    made = {"a.jpg": encoded(photo(1)), "b.jpg": turned(photo(2), 6)}
    bucket = sandbox.switches.bucket
    root = put(sandbox, made, "increment/", bucket)
    built = build_batch(catalogue_of(made), root, tmp_path / "batch", progress=False)  # without target
    log = upload(built.folder, None, sandbox.settings, progress=False, runs=tmp_path / "runs")
    assert log["outcome"].tolist() == ["referenced", "failed", "failed"]
    assert "never overwritten" in log["message"].iloc[1]
    assert sandbox.store.get(bucket, "increment/b.jpg")[0] == made["b.jpg"]


def test_an_original_that_changes_after_the_build_is_not_copied(sandbox, tmp_path):
    made = {"a.jpg": encoded(photo(1)), "b.jpg": encoded(photo(2)), "c.jpg": encoded(photo(3))}
    root = put(sandbox, made)
    built = build_batch(catalogue_of(made), root, tmp_path / "batch", progress=False)
    put(sandbox, {"a.jpg": encoded(photo(7))})
    sandbox.store.delete(BUCKET, "photos/b.jpg")
    log = upload(built.folder, None, sandbox.settings, progress=False, runs=tmp_path / "runs")
    assert log["outcome"].tolist() == ["changed", "changed", "copied", "failed"]
    assert "build it again" in log["message"].iloc[0]
    put(sandbox, made)  # as they were; the upload goes on where it stopped
    sandbox.forget_requests()
    log = upload(built.folder, None, sandbox.settings, progress=False, runs=tmp_path / "runs")
    assert log["outcome"].tolist() == ["copied", "copied", "unchanged", "uploaded"]
    assert operations_of(sandbox)["CopyObject"] == 2


@pytest.mark.parametrize("fault", ["wrong_etag", "answer_lost", "503", "500_after", "no_crc"])
def test_a_copy_survives_what_can_happen_to_its_answer(sandbox, tmp_path, fault):
    made = {"a.jpg": encoded(photo(1))}
    built = build_batch(catalogue_of(made), put(sandbox, made), tmp_path / "batch", progress=False)
    sandbox.set_faults(Fault(fault, operation="CopyObject", count=1))
    log = upload(built.folder, None, sandbox.settings, progress=False, runs=tmp_path / "runs")
    assert log["outcome"].tolist() == ["copied", "uploaded"]
    assert log["verified"].iloc[0] == ("crc64" if fault == "wrong_etag" else "etag")


def test_images_at_another_endpoint_are_sent_through_this_machine(sandbox, tmp_path):
    made = {"a.jpg": encoded(photo(1)), "b.jpg": turned(photo(2), 6)}
    with Sandbox(buckets=["far-photos"], region="cn-beijing") as far:
        put(far, made, bucket="far-photos")
        key = far.settings.oss_credentials
        root = OssRoot("far-photos", "photos/", far.url, "cn-beijing", key)
        built = build_batch(catalogue_of(made), root, tmp_path / "batch", progress=False)
        settings = sandbox.settings.with_(images_endpoint=far.url)
        # One key for both, as one account has in both regions.
        far._keys._add(sandbox.settings.oss_credentials.credentials(), None, None)
        log = upload(built.folder, None, settings, progress=False, runs=tmp_path / "runs")
        assert log["outcome"].tolist() == ["uploaded"] * 3 and "another endpoint" in log["message"].iloc[0]
        assert sandbox.store.get(sandbox.switches.bucket, "increment/a.jpg")[0] == made["a.jpg"]
        checks = preflight(settings.with_(images="oss://far-photos/photos")).set_index("check")
        assert checks.loc["image transfer", "result"] == "warn"


def test_a_rehearsal_reads_the_images_with_the_projects_own_key(sandbox, tmp_path):
    made = {"a.jpg": encoded(photo(1)), "b.jpg": turned(photo(2), 6)}
    put(sandbox, made)
    catalogue_of(made).drop(columns="row").to_csv(tmp_path / "catalogue.csv", index=False)
    (tmp_path / "imgprep.toml").write_text(f'[shop]\ncatalogue = "catalogue.csv"\nimages = "oss://{BUCKET}/photos"\n')
    ours = sandbox.settings
    shop = open_project(
        tmp_path, oss_endpoint=ours.oss_endpoint, region=ours.region, oss_credentials=ours.oss_credentials
    )
    built = shop.build(shop.load(), progress=False)
    sandbox.forget_requests()
    run = shop.rehearse(built, progress=False)
    assert run.outcome["outcome"].eq("imported").all() and run.sent_to != ours.gallery
    assert operations_of(sandbox) == {"GetObject": 1}, "b.jpg was repaired before; nothing is written"
    journal = map(json.loads, (built.folder / JOURNAL).read_text(encoding="utf-8").splitlines())
    ends = {line["key"]: line for line in journal if "outcome" in line}
    assert [line["outcome"] for line in ends.values()] == ["uploaded"] * 3
    assert "sent through this machine" in ends["increment/a.jpg"]["message"]


class Elsewhere(ThreadPoolExecutor):
    """A worker on another machine, as far as what is sent to it goes."""

    def submit(self, function, /, *arguments):
        self.sent = [*getattr(self, "sent", []), pickle.dumps((function, arguments))]
        return super().submit(*pickle.loads(self.sent[-1])[:1], *pickle.loads(self.sent[-1])[1])


@pytest.mark.parametrize("tier", ["header", "decode"])
def test_an_executors_workers_read_with_the_key_of_their_environment(sandbox, monkeypatch, tier):
    made = {f"{at}.jpg": encoded(photo(at)) for at in range(25)}
    root = put(sandbox, made)
    probe._source.cache_clear()
    for name in [name for name in os.environ if name.startswith(("OSS_", "ALIBABA_CLOUD_", "IMGPREP_"))]:
        monkeypatch.delenv(name)
    with Elsewhere(1) as pool, pytest.raises(ConfigError, match=r"worker on .*OSS_ACCESS_KEY_ID"):
        inspect_images(made, root, tier=tier, executor=pool, progress=False)
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    sandbox.forget_requests()
    with Elsewhere(1) as pool:
        facts = inspect_images(made, root, tier=tier, executor=pool, progress=False)
    assert operations_of(sandbox) == {"ListObjects": 1, "GetObject": 25}, "the worker knows what was listed here"
    key = sandbox.settings.oss_credentials.credentials()
    assert pool.sent and not any(
        secret.encode() in text for text in pool.sent for secret in (key.access_key_id, key.access_key_secret)
    )
    pd.testing.assert_frame_equal(facts, inspect_images(made, root, tier=tier, progress=False))


#: Builds and ships, and kills itself as soon as it has made so many copies of its own, or had so many made by OSS.
DEADLY = """
import os, signal, sys
from pathlib import Path
import pandas as pd
import imgprep.cloud.put as put, imgprep.fix.prepare as prepare
from imgprep.core.settings import OssRoot, Settings
from imgprep.plan.build import build_batch
from imgprep.ship.upload import upload

folder, count, left = Path(sys.argv[1]), *map(int, sys.argv[2:])

def deadly(real):
    def call(*given, **named):
        global left
        result = real(*given, **named)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call

prepare.Manifest.add, put.copy_object = deadly(prepare.Manifest.add), deadly(put.copy_object)
settings = Settings.from_env()
names = [f"{at:04d}.jpg" for at in range(count)]
rows = pd.DataFrame({"row": range(1, count + 1), "ProductId": names, "PicName": names, "CustomContent": "title:lamp"})
root = OssRoot.parse("oss://their-photos/photos", settings)
built = build_batch(rows, root, folder / "batch", target=settings.target, progress=False)
upload(built.folder, None, settings, runs=folder / "runs", progress=False)
"""


def assert_kills_cost_nothing(sandbox, folder: Path, count: int, deaths: list[int]) -> None:
    """Build and ship `count` images, a fifth of them repaired, in processes killed after some copies; finish."""
    made = {f"{at:04d}.jpg": turned(photo(at), 6) if at % 5 == 0 else encoded(photo(at)) for at in range(count)}
    root = put(sandbox, made)
    sandbox.forget_requests()
    environment = {**os.environ, **sandbox.environment()}
    for left in deaths:
        words = [sys.executable, "-c", DEADLY, str(folder), str(count), str(left)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, (left, done.stderr)
    built, log = ship(sandbox, root, made, folder)
    assert log["outcome"].isin(["copied", "uploaded", "unchanged"]).all() and log["outcome"].eq("unchanged").any()
    writes = [each for each in sandbox.requests if each.operation in ("PutObject", "CopyObject") and each.status == 200]
    assert max(Counter(each.key for each in writes).values()) == 1 and len(writes) == count + 1
    journal = map(json.loads, (built.folder / JOURNAL).read_text(encoding="utf-8").splitlines())
    assert max(Counter(line["key"] for line in journal if line.get("outcome") in ("copied", "uploaded")).values()) == 1
    run = submit(built.folder, sandbox.settings, runs=folder / "runs").follow(progress=False)
    assert run.outcome["outcome"].eq("imported").all() and len(run.outcome) == count


def test_a_killed_upload_continues_and_sends_nothing_twice(sandbox, tmp_path):
    assert_kills_cost_nothing(sandbox, tmp_path, 20, [4 + 5])  # copies of its own, then those that OSS made


def test_the_commands_read_and_ship_from_oss(sandbox, tmp_path, commands):
    made = {"a.jpg": encoded(photo(1)), "b.jpg": turned(photo(2), 6)}
    put(sandbox, made)
    environment = {**os.environ, **sandbox.environment()}
    catalogue_of(made).drop(columns="row").to_csv(tmp_path / "catalogue.csv", index=False)
    (tmp_path / "imgprep.toml").write_text(f'[shop]\ncatalogue = "catalogue.csv"\nimages = "oss://{BUCKET}/photos"\n')
    for line in (
        ["check"],
        ["check", "--images", f"oss://{BUCKET}/photos", "--tier", "decode", "--format", "json"],
        ["plan"],
        ["look", "--out", "page.html"],
        ["build", "--out", "batch"],
        ["upload", "batch"],
        ["submit", "batch"],
    ):
        done = commands.run(line, cwd=tmp_path, env=environment)
        assert done.returncode in (0, 1), (line, done.stderr)
    assert sorted(entry.key for entry in sandbox.store.iter(sandbox.switches.bucket))[:2] == [
        "increment/a.jpg",
        "increment/b.jpg",
    ]


def test_rights_on_the_images_are_in_the_policy_and_in_preflight(sandbox):
    root = put(sandbox, {"a.jpg": encoded(photo())})
    settings = sandbox.settings.with_(images=root)
    statements = documents(settings)["uploader"]["Statement"]
    assert {
        "Effect": "Allow",
        "Action": ["oss:GetObject"],
        "Resource": [f"acs:oss:*:*:{BUCKET}/photos/*"],
    } in statements
    checks = preflight(settings).set_index("check")
    assert checks.loc[["may list the images", "may read the images"], "result"].tolist() == ["ok", "ok"]
    assert "copied by the service" in checks.loc["image transfer", "message"]
    put(sandbox, {"a.jpg": encoded(photo())}, "elsewhere/", sandbox.switches.bucket)
    beside = settings.with_(images=f"oss://{sandbox.switches.bucket}/elsewhere")
    assert "where PicName starts" in preflight(beside).set_index("check").loc["image transfer", "message"]


def test_thumbnails_and_the_annotator_show_images_in_oss(sandbox, tmp_path):
    root = put(sandbox, {"a.jpg": encoded(photo(1))})
    assert thumb_of("a.jpg", root).data and "no object" in thumb_of("b.jpg", root).why
    widget = RegionAnnotator(["a.jpg"], root, tmp_path / "regions.sqlite", suggest=False)
    assert widget._images.picture(0).size == (240, 180)
    widget.close()


def test_nothing_secret_is_pickled_with_a_root(sandbox):
    root = sandbox.settings.with_(images=f"oss://{BUCKET}/photos").images
    secret = sandbox.settings.oss_credentials.credentials().access_key_secret
    for thing in (root, open_folder(root)):
        text = pickle.dumps(thing)
        assert (
            secret.encode() not in text
            and sandbox.settings.oss_credentials.credentials().access_key_id.encode() not in text
        )
        assert os.fspath(pickle.loads(text)) == f"oss://{BUCKET}/photos"
    assert secret not in repr(root)


def test_an_address_survives_a_path_and_a_project_file(tmp_path):
    (tmp_path / "imgprep.toml").write_text(
        '[shop]\nimages = "oss://b-1/new photos/"\n[service]\nregion = "cn-shanghai"\n'
    )
    images = Settings.load(tmp_path).images
    assert str(images) == "oss://b-1/new photos" and images.prefix == "new photos/" and images.region == "cn-shanghai"
    assert str(OssRoot.parse(Path("oss://b-1/x/y"))) == "oss://b-1/x/y"
