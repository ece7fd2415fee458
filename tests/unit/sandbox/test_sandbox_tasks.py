"""Tasks of the sandbox without a socket: their time, their end, their links, and what a restart finds."""

import csv
import io
import json
import sqlite3
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from PIL import Image

from imgprep.sandbox.config import Backend, Clock, Switches
from imgprep.sandbox.imagesearch.reports import (
    DUMP_FORMATS,
    REPORT_FORMATS,
    make_link,
    read_link,
    write_dump,
    write_report,
)
from imgprep.sandbox.imagesearch.state import FailedLine, Put, State, Task
from imgprep.sandbox.imagesearch.tasks import Tasks
from imgprep.sandbox.oss.storage import ObjectStore, Uploads

BAD = [
    FailedLine(2, "ADD", "1", "b.jpg", "PicNotExist", ""),
    FailedLine(10, "", "", "", "InvalidMetaItem", "It is not one JSON object."),
    FailedLine(12, "ADD", 'a,"b"\nc', "图.jpg", "InvalidCategory", "55 is not in the category reference."),
]


class Desk:
    """Tasks over a folder, with a clock that moves only by hand."""

    def __init__(self, root, store, **switches):
        self.time = 1_000_000.0
        self.state = State(root)
        backend = Backend(store, Uploads(store), Clock(source=lambda: self.time), Switches(**switches))
        self.tasks = Tasks(root, self.state, backend, lambda: "http://127.0.0.1:1")

    def run(self, bucket="shop", path="/in", finish=True):
        made = self.tasks.create("increase", "demo", bucket, path)
        if finish:
            self.tasks.finish()
        return self.state.task(made.id)

    def close(self):
        self.tasks.stop()
        self.state.close()


@pytest.fixture
def store(tmp_path):
    filled = ObjectStore(tmp_path / "objects")
    filled.create_bucket("shop", "cn-shanghai", 0.0)
    filled.create_bucket("far", "cn-beijing", 0.0)
    image = io.BytesIO()
    Image.new("RGB", (120, 120)).save(image, "JPEG")
    put(filled, "a.jpg", image.getvalue())
    put(filled, "increment.meta", written(row("a.jpg"), row("missing.jpg")))
    return filled


def put(store, name, data):
    store.put("shop", f"in/{name}", data, modified=1.0)


def row(name, **fields):
    return {"OperationType": "ADD", "ProductId": "1", "PicName": name, "CustomContent": "x", **fields}


def written(*rows):
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


@pytest.fixture
def desk(tmp_path, store):
    made = []

    def make(**switches):
        made.append(Desk(tmp_path / "imagesearch", store, **switches))
        return made[-1]

    yield make
    for opened in made:
        opened.close()


def test_a_task_with_failures_is_a_success_with_the_consoles_message(desk):
    task = desk().run()
    assert (task.status, task.code) == ("SUCCESS", "0")
    assert task.msg == "Some of the images cannot be imported. Click Download"
    assert (task.lines, task.imported, task.failed) == (2, 1, 1)


def test_a_task_without_failures_has_the_message_success(desk, store):
    put(store, "missing.jpg", store.read("shop", "in/a.jpg")[0])
    assert desk().run().msg == "Success"


def test_a_task_ends_when_due_and_the_gallery_changes_then(desk):
    here = desk(task_seconds=60)
    task = here.run(finish=False)
    here.tasks._join()
    here.time += 59
    here.tasks.settle()
    assert here.state.task(task.id).status == "PROCESSING"
    assert here.state.gallery("demo") == []
    here.time += 1
    here.tasks.settle()
    ended = here.state.task(task.id)
    assert (ended.status, ended.modified - ended.created) == ("SUCCESS", 60)
    assert [image["PicName"] for image in here.state.gallery("demo")] == ["a.jpg"]


def test_a_second_task_waits_for_the_first_of_its_kind_and_instance_only(desk):
    here = desk(task_seconds=60)
    here.run(finish=False)
    assert here.tasks.create("increase", "demo", "shop", "/in") is None
    assert here.tasks.create("dump", "demo") is not None
    assert here.tasks.create("increase", "other", "shop", "/in") is not None


@pytest.mark.parametrize(
    ("bucket", "path", "code"),
    [
        ("shop", "/nowhere", "NoSuchKey"),
        ("none", "/in", "NoSuchBucket"),
        ("far", "/in", "InternalOssError"),
    ],
)
def test_a_task_without_increment_meta_fails(desk, bucket, path, code):
    task = desk().run(bucket, path)
    assert (task.status, task.code) == ("FAIL", code)


def test_a_role_that_does_not_cover_the_folder_fails_the_task(desk):
    here = desk(role_policy=policy("acs:oss:*:*:shop//in/*"))
    task = here.run()
    assert (task.status, task.code) == ("FAIL", "NoPermission")
    assert here.state.gallery("demo") == []


def test_a_role_that_covers_the_file_but_not_the_images_fails_each_image(desk):
    here = desk(role_policy=policy("acs:oss:*:*:shop/in/*.meta"))
    task = here.run()
    # Without the right to read, it is not revealed what is missing.
    assert [bad.code for bad in here.state.failures(task.id)] == ["NoPermission", "NoPermission"]


def test_a_role_that_does_not_trust_the_service_fails_the_task(desk):
    trust = {
        "Version": "1",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ecs.aliyuncs.com"}}],
    }
    assert desk(role_policy=policy("*"), role_trust=trust).run().code == "NoPermission"
    assert desk(role_trust=trust).run().code == "NoPermission"
    trust["Statement"][0]["Principal"]["Service"] = ["imagesearch.aliyuncs.com"]
    assert desk(role_trust=trust).run().status == "SUCCESS"


def policy(resource):
    return {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "oss:GetObject", "Resource": resource}]}


@pytest.mark.parametrize(("meta", "code"), [(b"", "EmptyMeta"), (b"{} {}\n", "InvalidMetaItem")])
def test_an_empty_file_or_a_malformed_line_fails_the_task_where_read_strictly(desk, store, meta, code):
    put(store, "increment.meta", meta)
    assert desk().run().status == "SUCCESS"
    task = desk(strict=["empty_file", "malformed_line"]).run()
    assert (task.status, task.code) == ("FAIL", code)


def test_a_failing_task_changes_nothing(desk):
    here = desk(failing_task="Internal error")
    task = here.run()
    assert (task.status, task.msg) == ("FAIL", "Internal error")
    assert here.tasks.link(task) is None
    assert here.state.gallery("demo") == []


def test_a_task_that_was_running_when_the_sandbox_was_killed_is_resumed(tmp_path, store, desk):
    left = State(tmp_path / "imagesearch")
    task = left.add_task(Task(0, "increase", "demo", "shop", "/in", "", 1.0, 1.0, 1.0))
    left.close()
    here = desk()
    here.tasks.finish()
    assert here.state.task(task.id).status == "SUCCESS"
    assert len(here.state.gallery("demo")) == 1


def test_a_sandbox_that_is_stopped_leaves_its_tasks_for_the_next(desk):
    first = desk(task_seconds=60)
    task = first.run(finish=False)
    first.close()
    second = desk()
    assert second.state.task(task.id) is not None
    second.tasks.finish()
    assert second.state.task(task.id).status == "SUCCESS"


def test_a_link_expires_after_two_hours_and_a_fresh_one_works(desk):
    here = desk()
    task = here.run()
    link = urlsplit(here.tasks.link(task)).path
    here.time += 2 * 3600 - 1
    assert here.tasks.download(link).status == 200
    here.time += 1
    gone = here.tasks.download(link)
    assert (gone.status, b"Request has expired." in gone.body) == (403, True)
    assert here.tasks.download(urlsplit(here.tasks.link(task)).path).status == 200


def test_a_link_survives_a_restart(desk):
    first = desk()
    link = urlsplit(first.tasks.link(first.run())).path
    first.close()
    assert desk().tasks.download(link).status == 200


@pytest.mark.parametrize("path", ["/-/report/", "/-/report/1-9999999999-" + "0" * 32, "/-/report/../1", "/-/other"])
def test_a_link_that_was_not_made_here_opens_nothing(desk, path):
    assert desk().tasks.download(path).status == 403


def test_a_links_expiry_cannot_be_moved():
    link = urlsplit(make_link("http://x", "secret", 1, 0.0, 10)).path
    assert read_link(link, "secret") == (1, 10)
    assert read_link(link.replace("-10-", "-99999999999-"), "secret") is None


def test_an_export_holds_the_gallery_in_the_services_fields(desk, store):
    attributes = {"IntAttr": 1, "IntAttr2": 2, "IntAttr3": 3, "IntAttr4": 4}
    attributes |= {"StrAttr": "s", "StrAttr2": "t", "StrAttr3": "u", "StrAttr4": "v"}
    one = row("a.jpg", CategoryId=3, Region="1,99,2,98", **attributes)
    put(store, "increment.meta", written(one, row("a.jpg", ProductId="2", Crop=False)))
    here = desk()
    here.run()
    made = here.tasks.create("dump", "demo")
    here.tasks.finish()
    lines = here.tasks.download(urlsplit(here.tasks.link(here.state.task(made.id))).path).body.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"ProductId": "1", "PicName": "a.jpg", "CategoryId": 3, "CustomContent": "x", **attributes}
        | {"Region": "1,99,2,98", "Synthetic": True},
        {"ProductId": "2", "PicName": "a.jpg", "CustomContent": "x", "Crop": False, "Synthetic": True},
    ]


@pytest.mark.parametrize("form", REPORT_FORMATS)
def test_every_report_is_marked_synthetic_and_names_every_line(form):
    text = write_report(BAD, form).decode()
    assert "ynthetic" in text.splitlines()[0]
    for bad in BAD:
        assert bad.code in text
        assert bad.pic_name in text


def test_reports_that_are_tables_can_be_read_as_such():
    rows = [json.loads(line) for line in write_report(BAD, "jsonl").splitlines()]
    assert [(row["Line"], row["Code"], row["Synthetic"]) for row in rows] == [(b.line, b.code, True) for b in BAD]
    _, _, table = write_report(BAD, "csv").decode().partition("\n")
    cells = list(csv.DictReader(io.StringIO(table)))
    assert [(row["Line"], row["ProductId"]) for row in cells] == [(str(b.line), b.product_id) for b in BAD]


@pytest.mark.parametrize("form", ["text", "text-zh"])
def test_a_report_in_text_keeps_each_failure_on_its_line(form):
    assert len(write_report(BAD, form).decode().splitlines()) == 1 + len(BAD)


@pytest.mark.parametrize("form", REPORT_FORMATS)
def test_a_report_can_leave_line_numbers_out(form):
    text = write_report([FailedLine(7531, "ADD", "1", "b.jpg", "PicNotExist", "")], form, numbered=False).decode()
    assert "7531" not in text
    assert "PicNotExist" in text


def test_rows_fail_by_a_switch_with_any_code_and_pass_when_it_is_used_up(desk, store):
    put(store, "missing.jpg", store.read("shop", "in/a.jpg")[0])
    here = desk(row_faults={"a.jpg": ["TimeoutForTransferImage"], "missing.jpg": "UnknownCode"})
    runs = [[bad.code for bad in here.state.failures(here.run().id)] for _ in range(2)]
    assert runs == [["TimeoutForTransferImage", "UnknownCode"], ["UnknownCode"]]
    assert b"UnknownCode" in write_report(here.state.failures(1), "text-zh")


@pytest.mark.parametrize("form", DUMP_FORMATS)
def test_every_export_is_marked_synthetic(form):
    images = [{"ProductId": "1", "PicName": "a.jpg", "CategoryId": None, "Region": None, "ETag": "T"}]
    text = write_dump(images, form).decode()
    assert "ynthetic" in text.splitlines()[0]
    assert "ETag" not in text


def test_a_task_ends_completely_or_not_at_all(tmp_path):
    state = State(tmp_path)
    task = state.add_task(Task(0, "increase", "demo", "shop", "/in", "", 1.0, 1.0, 1.0))
    with pytest.raises(TypeError):
        state.end_task(
            replace(task, status="SUCCESS"), [Put("1", "a.jpg", {}), Put("1", "b.jpg", {"bad": object()})], BAD
        )
    assert state.task(task.id).status == "PROCESSING"
    assert state.gallery("demo") == []
    assert state.failures(task.id) == []
    state.close()


def test_a_full_disk_names_the_database_and_leaves_it_usable(tmp_path):
    state = State(tmp_path)
    state.fact("salt", "a")
    pages = state._rows("PRAGMA page_count")[0][0]
    state._rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match=r"state.sqlite: .*is full \(free in .*bytes\); free some space"):
        state.fact("large", "x" * 100_000)
    state._rows("PRAGMA max_page_count = 100000")
    assert state.fact("large", "small") == "small" and state.fact("salt", "b") == "a"
    state.close()
