"""What `preflight` finds before anything is sent, and that it changes nothing by looking."""

import json

import pytest
from oss2.models import PartInfo

from imgprep.cloud.imagesearch import ImageSearch
from imgprep.cloud.oss import open_bucket
from imgprep.core.credentials import StaticCredentials
from imgprep.core.settings import Settings
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.access import role_policy, trust_policy, uploader_policy
from imgprep.ship.preflight import preflight
from imgprep.ship.upload import upload
from tests.wire.shipping import FakeClock, make_batch

HELD_OPEN = {"role policy", "role trust", "uploader policy"}


@pytest.fixture
def shop(tmp_path):
    """Start a sandbox by switches, with a batch uploaded; ``look`` gives check → (result, message)."""
    servers = []

    class Shop:
        def __init__(self, **switches):
            self.server = Sandbox(**{"throttle": False, **switches}).start()
            servers.append(self.server)
            self.settings = self.server.settings
            self.batch = make_batch(tmp_path / "batch")
            if switches.get("oss_activated", True):
                upload(self.batch, None, self.settings, progress=False, runs=tmp_path / "runs")

        def look(self, settings=None, batch=None, **changes):
            settings = (settings or self.settings).with_(**changes)
            found = preflight(settings, batch or self.batch, clock=FakeClock(self.server.clock.now()))
            return {row.check: (row.result, row.message) for row in found.itertuples()}

        def write(self, document, name="policy.json"):
            (tmp_path / name).write_text(document if isinstance(document, str) else json.dumps(document))
            return tmp_path / name

    yield Shop
    for server in servers:
        server.stop()


def test_where_all_is_well_only_what_was_not_given_is_open(shop):
    found = shop().look()
    assert {name for name, (result, _) in found.items() if result != "ok"} == HELD_OPEN
    assert all(found[name] == ("unknown", "not checked: no document is given") for name in HELD_OPEN)


def test_every_documented_reason_why_a_task_is_not_accepted_is_the_source_of_a_check(shop):
    here = shop()
    found = preflight(here.settings, here.batch, clock=FakeClock(here.server.clock.now())).set_index("check")["source"]
    reasons = {source.removeprefix("faq: ") for source in found if source.startswith("faq: ")}
    assert reasons == {
        "the bucket is in another region",
        "the role is not of the Image Search type",
        "the policy is missing or wrong",
        "the ARN is invalid",
        "the bucket is invalid",
        "the path is wrong",
        "there is no increment.meta in the path",
    }
    assert found["no task running"].startswith("api") and found["may write"] == "own"


def test_an_uploader_without_the_operations_is_warned_of(shop):
    here = shop()
    document = uploader_policy(here.settings.bucket, here.settings.path)
    document["Statement"].pop()
    result, message = here.look(uploader_policy=here.write(document))["uploader policy"]
    assert result == "warn" and "imagesearch:IncreaseInstance" in message


def test_what_is_missing_is_reported(shop):
    found = shop().look(path="/elsewhere", instance="unknown")
    assert {"increment.meta", "images", "instance"} <= {name for name, (result, _) in found.items() if result == "fail"}


def test_what_was_replaced_in_the_bucket_is_found_as_submit_finds_it(shop, tmp_path):
    here = shop()
    bucket, (image, *_) = open_bucket(here.settings), sorted(file.name for file in (here.batch / "images").iterdir())
    stored = dict(here.server.store.bucket("imgprep-demo").entries)
    assert f"increment/{image}" in stored
    # In parts, so that its ETag is no MD5: only its bytes show that it is another picture.
    data = (here.batch / "images" / image).read_bytes()
    for sent, result in ((data, "ok"), (data[::-1], "fail")):
        started = bucket.init_multipart_upload(f"increment/{image}")
        part = bucket.upload_part(f"increment/{image}", started.upload_id, 1, sent)
        bucket.complete_multipart_upload(f"increment/{image}", started.upload_id, [PartInfo(1, part.etag)])
        assert here.look()["images"][0] == result
    assert image in here.look()["images"][1] and here.look()["increment.meta"] == ("ok", "this batch's")
    found = here.look(batch=make_batch(tmp_path / "other", 2, seed=3))
    assert found["increment.meta"] == ("fail", "another batch's")


def test_looking_changes_nothing(shop):
    here = shop()
    before = dict(here.server.store.bucket("imgprep-demo").entries)
    here.look()
    here.look(path="/empty")
    assert dict(here.server.store.bucket("imgprep-demo").entries) == before
    assert not here.server.tasks()


def test_documents_that_cover_the_folder_are_good(shop):
    here = shop()
    bucket, path = here.settings.bucket, here.settings.path
    found = here.look(
        role_policy=here.write(role_policy(bucket, path), "role.json"),
        role_trust=here.write(trust_policy(), "trust.json"),
        uploader_policy=here.write(uploader_policy(bucket, path), "uploader.json"),
    )
    assert {result for result, _ in found.values()} == {"ok"}
    assert found["role policy"][1].endswith("and 4 images")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"Version": "1", "Statement": [{"Effect": "Allow", "Action": "oss:GetObject",
          "Resource": "acs:oss:*:*:imgprep-demo//increment/*"}]}, "double slash"),
        ({"Version": "1", "Statement": [{"Effect": "Allow", "Action": "oss:GetObject",
          "Resource": "acs:oss:*:*:imgprep-demo/increment/*.meta"}]}, "no statement allows"),
        ({"Version": "1", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"},
          {"Effect": "Deny", "Action": "oss:Get*", "Resource": "*increment*"}]}, "statement 2 denies"),
        ("{", "is not JSON"),
        ("[]", "is not a policy document"),
    ],
)  # fmt: skip
def test_a_role_that_may_not_read_the_folder_fails_with_the_statement(shop, document, words):
    here = shop()
    result, message = here.look(role_policy=here.write(document))["role policy"]
    assert result == "fail" and words in message


def test_a_policy_on_the_parent_covers_a_folder_per_run(shop):
    here = shop()
    file = here.write(role_policy(here.settings.bucket, "/increment"))
    assert here.look(role_policy=file, path="/increment/week-48")["role policy"][0] == "ok"


def test_a_role_that_another_service_may_assume_fails(shop):
    here = shop()
    other = json.dumps(trust_policy()).replace("imagesearch", "ecs")
    assert here.look(role_trust=here.write(other))["role trust"][0] == "fail"


@pytest.mark.parametrize(
    ("actions", "denied"),
    [
        (["oss:GetObject", "oss:ListObjects", "oss:GetBucketLocation"], {"may write"}),
        (["oss:PutObject", "oss:ListObjects", "oss:GetBucketLocation"], {"may read"}),
        (["oss:PutObject", "oss:GetObject", "oss:GetBucketLocation"], {"may list the folder"}),
        (["oss:PutObject", "oss:GetObject", "oss:ListObjects"], {"bucket's region"}),
    ],
)
def test_the_callers_own_rights_are_reported_one_by_one(shop, actions, denied):
    here = shop()
    resources = ["acs:oss:*:*:imgprep-demo", "acs:oss:*:*:imgprep-demo/increment/*"]
    policy = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": resources}]}
    found = here.look(oss_credentials=StaticCredentials(here.server.add_user(policy)))
    assert {name for name, (result, _) in found.items() if result != "ok"} - HELD_OPEN == denied
    assert all("AccessDenied" in found[name][1] for name in denied)


def test_oss_not_activated_and_no_such_bucket_are_distinguished(shop):
    assert shop(oss_activated=False).look()["OSS activated"][0] == "fail"
    found = shop().look(bucket="another-bucket")
    assert found["bucket exists"][0] == "fail" and "OSS activated" not in found


def test_a_bucket_in_another_region_is_reported(shop):
    here = shop(buckets={"far-away": "cn-beijing"})
    found = here.look(bucket="far-away")
    assert "fail" in {result for result, _ in found.values()}
    assert any("cn-beijing" in message or "endpoint" in message for _, message in found.values())


def test_a_running_task_little_room_and_the_wrong_rules_are_reported(shop):
    here = shop(task_seconds=60, capacity=0, instances={"demo": "fabric"})
    ImageSearch(here.settings).start_task()
    found = here.look(service="product")
    assert found["no task running"] == ("fail", "task 1 is running")
    assert found["service type"][0] == "fail" and found["capacity"][0] == "warn"


@pytest.mark.parametrize("path", ["increment", "/increment/", "//increment"])
def test_a_path_the_console_would_refuse_fails(shop, path):
    assert shop().look(path=path)["path form"][0] == "fail"


def test_the_project_file_names_the_documents(tmp_path):
    text = '[service]\nrole_policy = "role.json"\nrole_trust = "trust.json"\n[oss]\npolicy = "mine.json"\n'
    (tmp_path / "imgprep.toml").write_text(text)
    settings = Settings.load(tmp_path)
    named = (settings.role_policy, settings.role_trust, settings.uploader_policy)
    assert named == tuple(tmp_path / name for name in ("role.json", "trust.json", "mine.json"))
    assert "json" not in str(settings.public())
