"""The vendor's SDK against the sandbox's Image Search, over real sockets. The clock is moved; nothing sleeps."""

import io
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import IncompleteRead

import oss2
import pytest
from alibabacloud_imagesearch20201214 import models
from alibabacloud_imagesearch20201214.client import Client
from alibabacloud_tea_openapi.exceptions import ClientException, ServerException
from alibabacloud_tea_openapi.utils import Utils
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.exceptions import UnretryableException
from PIL import Image

from imgprep.cloud.imagesearch import ImageSearch
from imgprep.sandbox.sandbox import Sandbox

FOLDER = {"instance_name": "demo", "bucket_name": "imgprep-demo", "path": "/increment"}


@pytest.fixture
def start(tmp_path, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    running = []

    def begin(root=None, **switches):
        running.append(Sandbox(root or tmp_path / "root", **switches))
        running[-1].start()
        return running[-1]

    yield begin
    for sandbox in running:
        sandbox.stop()


def client(sandbox, key=None, **changes):
    key = key or sandbox.settings.imagesearch_credentials.credentials()
    config = {
        "access_key_id": key.access_key_id,
        "access_key_secret": key.access_key_secret,
        "security_token": key.security_token,
        "endpoint": sandbox.url.removeprefix("http://"),
        "protocol": "HTTP",
    }
    return Client(Config(**{**config, **changes}))


def put(sandbox, name, data, folder="increment"):
    key = sandbox.settings.oss_credentials.credentials()
    auth = oss2.Auth(key.access_key_id, key.access_key_secret)
    oss2.Bucket(auth, sandbox.url, "imgprep-demo").put_object(f"{folder}/{name}", data)


def photo(size=(160, 160), kind="JPEG", **options):
    out = io.BytesIO()
    Image.new("RGB", size, (180, 40, 40)).save(out, kind, **options)
    return out.getvalue()


def row(name="a.jpg", **fields):
    return {"OperationType": "ADD", "ProductId": "1", "PicName": name, "CustomContent": "x", **fields}


def fill(sandbox, *rows):
    put(sandbox, "a.jpg", photo())
    put(sandbox, "increment.meta", "".join(f"{json.dumps(item)}\n" for item in rows or [row(), row("b.jpg")]))


def increase(sdk, **changes):
    return sdk.increase_instance(models.IncreaseInstanceRequest(**{**FOLDER, **changes})).body


def increments(sdk, **fields):
    return sdk.increase_list(models.IncreaseListRequest(**{"instance_name": "demo", **fields})).body.data


def download(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def test_a_batch_goes_from_the_bucket_to_the_gallery_and_its_report_can_be_read(start):
    sandbox = start()
    turned = Image.Exif()
    turned[0x0112] = 6
    put(sandbox, "good.jpg", photo())
    put(sandbox, "small.png", photo((40, 40), "PNG"))
    put(sandbox, "turned.jpg", photo(exif=turned))
    put(sandbox, "cut.jpg", photo()[:300])
    put(sandbox, "big.jpg", photo() + bytes(4 * 1024 * 1024))
    rows = [
        row("good.jpg", CategoryId=2, Region="10,90,20,120", IntAttr=5, StrAttr="红", IntAttr4=7, StrAttr3="绿"),
        *(row(name) for name in ("small.png", "turned.jpg", "cut.jpg", "big.jpg", "gone.jpg")),
        row("good.jpg", ProductId="2", CategoryId=33),
        row("good.jpg", ProductId="2", Region="10,190,20,120"),
        {"OperationType": "DELETE", "ProductId": "9"},
    ]
    put(sandbox, "increment.meta", "".join(f"{json.dumps(item)}\n" for item in rows))

    made = increase(client(sandbox))
    assert (made.success, made.data.increment_status) == (True, "PROCESSING")
    sandbox.finish_tasks()
    task = increments(client(sandbox), id=int(made.data.id)).increments.instance[0]
    assert (task.status, task.code) == ("SUCCESS", "0")
    assert task.msg == "Some of the images cannot be imported. Click Download"

    report = [json.loads(line) for line in download(task.error_url).splitlines()]
    assert [(entry["Line"], entry["Code"]) for entry in report] == [
        (2, "UnsupportedPicPixels"),
        (3, "IncorrectOrientation"),
        (4, "UnsupportedPicFormat"),
        (5, "InvalidPicContent"),
        (6, "PicNotExist"),
        (7, "InvalidCategory"),
        (8, "InvalidRegion"),
    ]
    assert all(entry["Synthetic"] for entry in report)
    (held,) = sandbox.gallery("demo")
    assert (held["ProductId"], held["PicName"], held["CategoryId"]) == ("1", "good.jpg", 2)
    assert held["Region"] == {"x1": 10, "x2": 90, "y1": 20, "y2": 120}

    asked = models.CheckImageExistsRequest(instance_name="demo", product_id="1", pic_name="good.jpg")
    known = client(sandbox).check_image_exists(asked).body
    held = known.auctions
    assert (known.exists, held.int_attr, held.str_attr, held.int_attr_4, held.str_attr_3) == (True, 5, "红", 7, "绿")
    record = ImageSearch(sandbox.settings).image_record(asked.product_id, asked.pic_name)
    assert record["IntAttr4"] == 7 and record["StrAttr3"] == "绿" and record["PicName"] == asked.pic_name
    assert "Region" not in record and ImageSearch(sandbox.settings).image_record(asked.product_id, "x.png") is None
    asked.pic_name = "small.png"
    assert client(sandbox).check_image_exists(asked).body.exists is False


def test_answers_have_the_shapes_of_the_facts_table(start):
    sandbox = start()
    fill(sandbox, row())
    sdk = client(sandbox)
    made = increase(sdk, callback_address="http://callback.example/")
    assert isinstance(made.data.id, str)
    sandbox.finish_tasks()
    listed = increments(sdk, page_size=5)
    (task,) = listed.increments.instance
    assert (listed.page_number, listed.page_size, listed.total_count) == (1, 5, 1)
    assert (task.id, task.bucket_name, task.path) == (int(made.data.id), "imgprep-demo", "/increment")
    assert (task.msg, task.error_url, task.callback_address) == ("Success", None, "http://callback.example/")
    assert isinstance(task.utc_create, str)
    assert isinstance(task.utc_modified, int)
    about = sdk.detail(models.DetailRequest(instance_name="demo")).body.instance
    assert (about.name, about.region, about.service_type, about.total_count) == ("demo", "cn-shanghai", 0, 1)
    assert about.capacity == 10  # of 10,000 images


def test_ids_are_integers_by_a_switch(start):
    sandbox = start(task_ids="integer")
    fill(sandbox)
    assert isinstance(increase(client(sandbox)).data.id, int)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"access_key_secret": "other"}, "SignatureDoesNotMatch"),
        ({"access_key_id": "unknown"}, "InvalidAccessKeyId.NotFound"),
        ({"security_token": "none"}, "InvalidSecurityToken.MismatchWithAccessKey"),
    ],
)
def test_a_wrong_key_is_refused_with_a_code_and_a_request_id(start, changes, code):
    sdk = client(start(), **changes)
    with pytest.raises(ClientException) as caught:
        sdk.detail(models.DetailRequest(instance_name="demo"))
    assert caught.value.code == code
    assert len(caught.value.request_id) == 36


def test_a_temporary_key_passes_until_it_expires(start):
    sandbox = start()
    sdk = client(sandbox, sandbox.issue_token(seconds=900))
    assert sdk.detail(models.DetailRequest(instance_name="demo")).body.success
    sandbox.clock.advance(901)
    with pytest.raises(ClientException) as caught:
        sdk.detail(models.DetailRequest(instance_name="demo"))
    assert caught.value.code == "InvalidSecurityToken.Expired"


def test_a_wrong_clock_is_refused(start):
    with pytest.raises(ClientException) as caught:
        client(start(skew=20 * 60)).detail(models.DetailRequest(instance_name="demo"))
    assert caught.value.code == "InvalidTimeStamp.Expired"


def test_a_nonce_is_used_once(start, monkeypatch):
    monkeypatch.setattr(Utils, "get_nonce", staticmethod(lambda: "again"))
    sdk = client(start(throttle=False))
    sdk.detail(models.DetailRequest(instance_name="demo"))
    with pytest.raises(ClientException) as caught:
        sdk.detail(models.DetailRequest(instance_name="demo"))
    assert caught.value.code == "SignatureNonceUsed"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"instance_name": "other"}, "InvalidInstance"),
        ({"instance_name": "d" * 21}, "InvalidInstance"),
        ({"instance_name": None}, "MissingInstanceName"),
        ({"bucket_name": None}, "MissingBucketName"),
        ({"bucket_name": "Shop_1"}, "BadRequest"),
        ({"path": None}, "MissingPath"),
        ({"path": "increment"}, "BadRequest"),
        ({"path": "/increment/"}, "BadRequest"),
        ({"path": "/"}, "BadRequest"),
    ],
)
def test_a_batch_with_a_bad_parameter_is_not_made(start, changes, code):
    sandbox = start()
    with pytest.raises(ClientException) as caught:
        increase(client(sandbox), **changes)
    assert caught.value.code == code
    assert sandbox.tasks("demo") == []


@pytest.mark.parametrize("fields", [{"page_size": 501}, {"page_size": 0}, {"page_number": 0}, {"id": "x"}])
def test_a_list_with_a_bad_parameter_is_refused(start, fields):
    with pytest.raises(ClientException) as caught:
        increments(client(start()), **fields)
    assert caught.value.code == "BadRequest"


def test_lists_come_newest_first_page_by_page_and_filtered(start):
    sandbox = start(throttle=False)
    sdk = client(sandbox)
    fill(sandbox)
    for path in ("/increment", "/elsewhere", "/increment"):
        increase(sdk, path=path)
        sandbox.finish_tasks()
    assert [task.id for task in increments(sdk, page_size=2).increments.instance] == [3, 2]
    assert [task.id for task in increments(sdk, page_size=2, page_number=2).increments.instance] == [1]
    assert [task.id for task in increments(sdk, path="/elsewhere").increments.instance] == [2]
    assert increments(sdk, bucket_name="other").total_count == 0


def test_a_second_batch_is_refused_while_one_runs(start):
    sandbox = start(task_seconds=60)
    fill(sandbox)
    sdk = client(sandbox)
    increase(sdk)
    with pytest.raises(ClientException) as caught:
        increase(sdk)
    assert (caught.value.code, caught.value.status_code) == ("Console.IncrementStatusError", 409)
    assert increments(sdk).increments.instance[0].status == "PROCESSING"
    sandbox.finish_tasks()
    assert increase(sdk).success


def test_of_batches_requested_at_once_one_is_created(start):
    sandbox = start(task_seconds=60)
    fill(sandbox)

    def ask(_):
        try:
            return increase(client(sandbox)).success
        except ClientException as error:
            return error.code

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(6)))
    assert sorted(answers, key=str) == ["Console.IncrementStatusError"] * 5 + [True]
    assert len(sandbox.tasks("demo")) == 1


def test_lists_take_one_request_per_second(start):
    sandbox = start()
    sdk = client(sandbox)
    increments(sdk)
    with pytest.raises(ClientException) as caught:
        increments(sdk)
    assert (caught.value.code, caught.value.status_code) == ("DeniedRequest", 403)
    sandbox.clock.advance(1)
    assert increments(sdk).total_count == 0


def test_an_export_is_made_one_at_a_time_and_holds_the_gallery(start):
    sandbox = start(throttle=False, task_seconds=60)
    fill(sandbox, row(), row(ProductId="2"))
    sdk = client(sandbox)
    increase(sdk)
    sandbox.finish_tasks()
    made = sdk.dump_meta(models.DumpMetaRequest(instance_name="demo")).body
    assert made.data.dump_meta_status == "PROCESSING"
    with pytest.raises(ClientException) as caught:
        sdk.dump_meta(models.DumpMetaRequest(instance_name="demo"))
    assert (caught.value.code, caught.value.status_code) == ("Console.TaskAlreadyExist", 409)
    sandbox.finish_tasks()
    listed = sdk.dump_meta_list(models.DumpMetaListRequest(instance_name="demo", id=int(made.data.id))).body.data
    (export,) = listed.dump_meta_list
    lines = [json.loads(line) for line in download(export.meta_url).splitlines()]
    assert [(line["ProductId"], line["PicName"]) for line in lines] == [("1", "a.jpg"), ("2", "a.jpg")]
    with pytest.raises(ClientException):
        sdk.dump_meta_list(models.DumpMetaListRequest(instance_name="demo", page_size=31))


@pytest.mark.parametrize("form", ["jsonl", "csv", "text", "text-zh"])
def test_a_report_comes_in_the_requested_format(start, form):
    sandbox = start(report_format=form)
    fill(sandbox)
    increase(client(sandbox))
    sandbox.finish_tasks()
    text = download(increments(client(sandbox)).increments.instance[0].error_url).decode()
    assert "PicNotExist" in text
    assert "ynthetic" in text


def test_a_report_link_expires_and_a_list_gives_a_fresh_one(start):
    sandbox = start()
    fill(sandbox)
    sdk = client(sandbox)
    increase(sdk)
    sandbox.finish_tasks()
    link = increments(sdk).increments.instance[0].error_url
    sandbox.clock.advance(2 * 3600)
    with pytest.raises(urllib.error.HTTPError) as caught:
        download(link)
    with caught.value:
        assert (caught.value.code, b"Request has expired." in caught.value.read()) == (403, True)
    assert b"PicNotExist" in download(increments(sdk).increments.instance[0].error_url)


def test_a_report_can_be_cut_endless_or_elsewhere(start, tmp_path):
    def link(fault):
        sandbox = start(tmp_path / fault[:8], **({"report_url": fault} if "/" in fault else {"report_fault": fault}))
        fill(sandbox)
        increase(client(sandbox))
        sandbox.finish_tasks()
        return increments(client(sandbox)).increments.instance[0].error_url

    with pytest.raises((IncompleteRead, ConnectionError)):
        download(link("cut"))
    with urllib.request.urlopen(link("endless"), timeout=10) as answer:
        assert len(answer.read(1_000_000)) == 1_000_000
    with pytest.raises(urllib.error.HTTPError) as caught:
        download(link("expired"))
    caught.value.close()
    assert link("http://192.168.0.1/report") == "http://192.168.0.1/report"


@pytest.mark.parametrize(
    ("fault", "error", "code", "made"),
    [
        ("throttled", ClientException, "DeniedRequest", 0),
        ("server_error", ServerException, "InternalError", 0),
        ("unavailable", ServerException, "ServiceUnavailable", 0),
        ("reset", Exception, None, 0),
        ("answer_lost", Exception, None, 1),
        ("not_json", UnretryableException, None, 1),
        ("server_error_after", ServerException, "InternalError", 1),
    ],
)
def test_a_fault_raises_in_the_sdk_and_leaves_open_whether_the_task_was_made(start, fault, error, code, made):
    sandbox = start(api_faults={"IncreaseInstance": [fault]})
    fill(sandbox)
    sdk = client(sandbox)
    with pytest.raises(error) as caught:
        increase(sdk)
    if code:
        assert caught.value.code == code
    sandbox.finish_tasks()
    assert len(sandbox.tasks("demo")) == made
    assert increase(sdk).success  # the fault is used up


@pytest.mark.parametrize(("fault", "success", "made"), [("empty", None, 1), ("unsuccessful", False, 0)])
def test_a_fault_that_does_not_raise_shows_in_the_answer(start, fault, success, made):
    sandbox = start(api_faults={"IncreaseInstance": fault})
    fill(sandbox)
    answer = increase(client(sandbox))
    assert (answer.success, answer.data) == (success, None)
    sandbox.finish_tasks()
    assert len(sandbox.tasks("demo")) == made


def test_switches_can_be_changed_while_it_runs(start):
    sandbox = start(api_faults={"IncreaseInstance": ["throttled"]})
    fill(sandbox)
    sdk = client(sandbox)
    with pytest.raises(ClientException):
        increase(sdk)
    sandbox.imagesearch.switch(report_format="csv")  # and what is used up stays so
    increase(sdk)
    sandbox.finish_tasks()
    assert download(increments(sdk).increments.instance[0].error_url).startswith(b"# synthetic")
    sandbox.imagesearch.switch(api_faults={"IncreaseInstance": "unavailable"})
    with pytest.raises(ServerException):
        increase(sdk)
    with pytest.raises(ValueError, match="use one of"):
        sandbox.imagesearch.switch(report_format="xml")


def policy(resource):
    return {"Version": "1", "Statement": [{"Effect": "Allow", "Action": ["oss:GetObject"], "Resource": [resource]}]}


def test_a_policy_with_a_double_slash_fails_the_task_the_way_access_fails(start):
    sandbox = start()
    fill(sandbox)
    sandbox.set_role(policy("acs:oss:*:*:imgprep-demo//increment/*"))
    sdk = client(sandbox)
    increase(sdk)
    sandbox.finish_tasks()
    task = increments(sdk).increments.instance[0]
    assert (task.status, task.code, task.error_url) == ("FAIL", "NoPermission", None)
    sandbox.set_role(policy("acs:oss:*:*:imgprep-demo/increment/*"))
    increase(sdk)
    sandbox.finish_tasks()
    assert [task["status"] for task in sandbox.tasks("demo")] == ["SUCCESS", "FAIL"]


def test_access_may_also_fail_the_request_by_a_switch(start):
    sandbox = start(access_fails="request", role_policy=policy("acs:oss:*:*:imgprep-demo//increment/*"))
    fill(sandbox)
    with pytest.raises(ClientException) as caught:
        increase(client(sandbox))
    assert (caught.value.code, sandbox.tasks("demo")) == ("NoPermission", [])


def test_an_instance_of_another_service_type_judges_by_its_own_limits(start):
    sandbox = start(instances={"demo": "product", "cloth": "fabric"}, instance="cloth")
    assert sandbox.settings.service == "fabric"
    fill(sandbox, row(CategoryId=2))
    sdk = client(sandbox)
    for name in ("demo", "cloth"):
        increase(sdk, instance_name=name)
    sandbox.finish_tasks()
    assert sandbox.tasks("demo")[0]["failures"] == []
    assert [bad["code"] for bad in sandbox.tasks("cloth")[0]["failures"]] == ["UnsupportedPicPixels"]


CHILD = """
import sys
from imgprep.sandbox.sandbox import Sandbox
sandbox = Sandbox(sys.argv[1], task_seconds=3600)
sandbox.start()
key = sandbox.settings.imagesearch_credentials.credentials()
print(sandbox.url, key.access_key_id, key.access_key_secret, flush=True)
sys.stdin.read()
"""


def test_a_task_survives_kill_9_of_the_sandbox_and_ends_the_same(start, tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "root")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    with child:
        url, key_id, secret = child.stdout.readline().split()
        config = Config(
            access_key_id=key_id, access_key_secret=secret, endpoint=url.removeprefix("http://"), protocol="HTTP"
        )
        bucket = oss2.Bucket(oss2.Auth(key_id, secret), url, "imgprep-demo")
        bucket.put_object("increment/a.jpg", photo())
        bucket.put_object("increment/increment.meta", f"{json.dumps(row())}\n{json.dumps(row('b.jpg'))}\n")
        made = increase(Client(config))
        os.kill(child.pid, signal.SIGKILL)
    sandbox = start(tmp_path / "root")
    sandbox.finish_tasks()
    (task,) = sandbox.tasks("demo")
    assert (task["id"], task["status"], task["imported"], task["failed"]) == (int(made.data.id), "SUCCESS", 1, 1)
    assert [image["PicName"] for image in sandbox.gallery("demo")] == ["a.jpg"]
