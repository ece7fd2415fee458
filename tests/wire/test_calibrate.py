"""Calibrate: whatever a sandbox does is found out, nothing else is claimed, and nothing is left behind."""

import functools
import io
import json
import random
import re

import pandas as pd
import pytest
from PIL import Image

from imgprep.cloud.imagesearch import SEARCHES, ImageSearch
from imgprep.cloud.oss import list_folder, open_bucket
from imgprep.core.errors import ConfigError, ServiceError
from imgprep.core.service_facts import FACTS_FILE, load_facts
from imgprep.look.rules.book import check, rules_table
from imgprep.look.rules.limits import FORMAT_OF
from imgprep.outcomes.calibrate import PREFIX, calibrate, plan_calibration
from imgprep.outcomes.questions import BY_HAND, REPORT_QUESTIONS, plain, questions
from imgprep.sandbox.config import Switches
from imgprep.sandbox.imagesearch.readings import OPEN_POINTS
from imgprep.sandbox.imagesearch.reports import REPORT_FORMATS
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.access import console_steps
from tests.gallery_made import line, meta, put, view
from tests.samples import sampled
from tests.wire.shipping import FakeClock

#: What a sandbox does that no switch changes.
FIXED = {
    **{"empty_str_attr": "accepted", "str_attr_spaces": "kept", "pic_name_base": "folder", "aspect_ratio": "20"},
    **dict.fromkeys(("str_attr_length", "content_length", "image_bytes", "image_sides"), "as documented"),
    **{"duplicate_line": "accepted", "report_names": "yes"},
}
#: Open points of the sandbox that no probe can decide.
NOT_DECIDABLE = {"empty_file"}
QUESTIONS = {question.id: question for question in questions()}


@functools.cache
def shop_images():
    return {f"{number}.jpg": view(number, 0) for number in range(2)}


class Shop:
    """A sandbox with a gallery and objects of its own, which must be the same afterwards."""

    def __init__(self, folder, **switches):
        self.sandbox = Sandbox(task_seconds=0, **{"throttle": False, "qps": 1000, **switches}).start()
        self.settings = self.sandbox.settings.with_(project=folder)
        put(self.sandbox, shop_images() | {"increment.meta": meta([line(name, name) for name in shop_images()])})
        ImageSearch(self.settings, clock=FakeClock()).start_task()
        self.sandbox.finish_tasks()
        assert len(self.sandbox.gallery()) == 2
        self.before = self.state()

    def state(self):
        listed = list_folder(open_bucket(self.settings), "")
        return self.sandbox.gallery(), {key: stored.etag for key, stored in listed}

    def calibrate(self, **options):
        return calibrate(self.settings, progress=False, clock=FakeClock(), **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sandbox.stop()


def answers_of(found):
    settled = found.answers[found.answers["state"] == "settled"]
    return dict(zip(settled["point"], settled["answer"], strict=True))


def expected(strict, apart, form, *, lines):
    """What must be answered, by the sandbox's switches alone."""
    answers = dict(FIXED)
    for point, question in QUESTIONS.items():
        if question.switch and (not question.apart or point in apart):
            answers[point] = list(question.answers)[question.switch in strict]
    answers["null_pic_name"] = "refused" if "null" in strict else "whole product"
    return answers | {"report_format": form, "report_lines": "yes" if lines else "no"}


def test_every_open_point_is_asked_or_declared_undecidable():
    asked = {question.switch for question in QUESTIONS.values()} - {""}
    assert asked | NOT_DECIDABLE == {point.name for point in OPEN_POINTS}
    assert BY_HAND.keys() >= NOT_DECIDABLE
    for point in OPEN_POINTS:
        if point.name in QUESTIONS:
            assert QUESTIONS[point.name].switch == point.name


def test_what_the_answers_mean_for_check_names_rules_and_values_that_exist():
    known = set(rules_table()["rule"])
    for question in QUESTIONS.values():
        assert {*question.rules, *question.limits} <= {*question.answers, "mixed"}
        assert {rule for rules in question.rules.values() for rule in rules} <= known
        for limits in question.limits.values():
            check(pd.DataFrame({"ProductId": ["1"]}), limits=limits)


def test_each_image_differs_in_the_one_point_that_is_asked():
    """A sandbox that is strict about another point would else refuse it."""
    for question in QUESTIONS.values():
        for probe in question.probes:
            with Image.open(io.BytesIO((probe.image or plain)())) as image:
                clear = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
                assert clear == (question.id == "alpha"), probe.name
                assert (getattr(image, "n_frames", 1) > 1) == (question.id == "animation"), probe.name
                assert (image.mode in ("CMYK", "I;16", "I")) == (question.id == "colours"), probe.name
                kind = FORMAT_OF[(probe.pic or "x.jpg").rpartition(".")[2]]
                assert (kind != image.format) == (question.id == "extension"), probe.name


@pytest.mark.parametrize("seed", sampled(range(200), 4))
def test_every_decidable_point_is_recovered_and_nothing_else_claimed(tmp_path, seed):
    draw = random.Random(seed)
    names = [point.name for point in OPEN_POINTS]
    strict = draw.sample(names, draw.randint(0, len(names)))
    apart = draw.sample([question.id for question in QUESTIONS.values() if question.apart], draw.randint(0, 6))
    form, lines = draw.choice(list(REPORT_FORMATS)), draw.random() < 0.5
    ids = draw.choice(["string", "integer"])
    with Shop(tmp_path, strict=strict, report_format=form, report_lines=lines, task_ids=ids) as shop:
        found = shop.calibrate(apart=apart)
        assert answers_of(found) == expected(strict, apart, form, lines=lines)
        assert found.answers["state"].ne("undecided").all()
        assert shop.state() == shop.before
    switches = Switches.of(dict(load_facts(found.facts).switches))
    decided = {question.switch for question in QUESTIONS.values() if not question.apart or question.id in apart}
    assert set(switches.strict) == set(strict) & decided
    assert (switches.report_format, switches.report_lines) == (form, lines)
    text = found.report.read_text(encoding="utf-8")
    assert "PROBE-" in text and not re.search(rf"{PREFIX}|{shop.settings.bucket}|127\.0\.0\.1", text)


@pytest.mark.parametrize("seed", sampled(range(50), 2))
def test_a_calibration_that_was_killed_leaves_nothing_once_it_is_repeated(tmp_path, commands, seed):
    draw = random.Random(seed)
    words = ["calibrate", "--apart", "bom", "--confirm", "demo"]
    with Shop(tmp_path) as shop:
        environment = {**shop.sandbox.environment(), "IMGPREP_GATEWAY_TIMEOUT": "1"}
        at_sends = seed % 2 == 1
        at = draw.randint(1, 700 if at_sends else 150)
        died = commands.run(words, cwd=tmp_path, env=environment, killed_at=at, at_sends=at_sends)
        again = commands.run(words, cwd=tmp_path, env=environment)
        assert again.returncode == 0, again.stderr
        assert shop.state() == shop.before
        assert "deleted, as verified" in again.stderr
        assert not (tmp_path / "imgprep-work/calibrate/journal.json").exists()
    print("killed" if died.returncode == 9 else "ended", at)


def test_a_task_that_fails_as_a_whole_settles_nothing(tmp_path):
    with Shop(tmp_path) as shop:
        shop.sandbox.imagesearch.switch(failing_task="No permission to read increment.meta.")
        found = shop.calibrate(apart=["bom"])
        assert answers_of(found) == {}
        assert shop.state() == shop.before
    null = found.answers.set_index("point").loc["null"]
    assert "--apart null" in null["meaning"] and "No permission" in null["evidence"]


def test_an_ordinary_question_can_be_asked_alone_and_earlier_answers_are_kept(tmp_path):
    with Shop(tmp_path, strict=["empty_pic_name", "crlf"]) as shop:
        first = answers_of(shop.calibrate(apart=["empty_pic_name", "crlf"]))
        assert first["empty_pic_name"] == "refused" and first["crlf"] == "refused"
        second = shop.calibrate()
        assert answers_of(second) == first, "an earlier answer counts"
        assert shop.state() == shop.before


def test_the_facts_are_obeyed_by_check_policy_and_the_sandbox(tmp_path):
    """And a report that cannot be downloaded leaves only the questions about it open."""
    catalogue = pd.DataFrame({"ProductId": ["1"], "PicName": ["a.jpg"], "CustomContent": [""], "StrAttr": ["50 %"]})
    strict = ["empty_content", "int32", "row_order"]
    with Shop(tmp_path, strict=strict, report_fault="expired") as shop:
        plain = check(catalogue, **shop.settings.rules).set_index("rule")
        assert plain.loc["custom-content-empty", ["severity", "basis"]].tolist() == ["warning", "unknown"]
        assert "Measured" not in console_steps(shop.settings)
        found = shop.calibrate()
        undecided = set(found.answers.loc[found.answers["state"] == "undecided", "point"])
        assert undecided == set(REPORT_QUESTIONS) and found.report is None
        measured = check(catalogue, **shop.settings.rules).set_index("rule")
        assert measured.loc["custom-content-empty", ["severity", "basis"]].tolist() == ["error", "measured here"]
        assert measured.loc["str-attr-characters", ["severity", "basis"]].tolist() == ["info", "measured here"]
        table = rules_table(**shop.settings.rules).set_index("rule")
        assert table.loc["str-attr-characters", ["severity", "basis"]].tolist() == ["info", "measured here"]
        own = shop.settings.with_(severity={"custom-content-empty": "off"})
        assert "custom-content-empty" not in set(check(catalogue, **own.rules)["rule"]), "the shop's word is the last"
        other = shop.settings.with_(instance="other")
        assert other.rules == {"service": "product", "severity": {}, "limits": {}}, "another instance"
        assert "PicName starts at the task's path" in console_steps(shop.settings)
        assert shop.state() == shop.before
    with Sandbox(facts=tmp_path / FACTS_FILE, throttle=False) as like:
        assert set(like.switches.strict) == set(strict)
    with Sandbox(facts=tmp_path / FACTS_FILE, strict=False) as changed:
        assert changed.switches.strict is False


def test_a_region_that_ends_at_the_images_edge_is_refused_where_that_was_measured():
    catalogue = pd.DataFrame({"ProductId": ["1"], "PicName": ["a.jpg"], "CustomContent": ["x"], "Region": ["0,9,0,9"]})
    facts = pd.DataFrame({"PicName": ["a.jpg"], "exists": [True], "width": [10], "height": [10]})
    for region, refused in (("0,9,0,9", False), ("0,10,0,9", True), ("0,9,0,10", True)):
        found = check(catalogue.assign(Region=region), facts, limits={"region_edge": 1})
        assert ("region-outside" in set(found["rule"])) is refused
        assert "region-outside" not in set(check(catalogue.assign(Region=region), facts)["rule"])


def test_nothing_is_sent_without_the_instances_name(tmp_path, monkeypatch):
    with Shop(tmp_path) as shop:
        with pytest.raises(ConfigError, match="not confirmed: typed 'other'"):
            shop.calibrate(confirm="other")
        with pytest.raises(ConfigError, match=r"unknown point 'bomb'.*bom"):
            shop.calibrate(apart=["bomb"])
        monkeypatch.setattr(type(shop.settings), "is_sandbox", False)
        with pytest.raises(ConfigError, match="pass confirm='demo'"):
            shop.calibrate()
        assert shop.state() == shop.before and len(shop.sandbox.tasks()) == 1


def test_a_facts_file_of_the_users_own_stops_before_anything_is_sent(tmp_path):
    (tmp_path / FACTS_FILE).write_text("mine = 1", encoding="utf-8")
    with Shop(tmp_path) as shop:
        with pytest.raises(ConfigError, match=FACTS_FILE):
            shop.calibrate()
        assert len(shop.sandbox.tasks()) == 1


def test_a_key_that_may_not_delete_is_refused_before_anything_is_sent(tmp_path):
    with Shop(tmp_path, denied_operations=["DeleteObject"]) as shop:
        with pytest.raises(ConfigError, match="allow oss:DeleteObject"):
            shop.calibrate()
        assert len(shop.sandbox.tasks()) == 1 and shop.state() == shop.before


def test_an_error_in_the_middle_deletes_everything(tmp_path):
    with Shop(tmp_path, api_faults={"SearchImageByName": "server_error"}) as shop:
        with pytest.raises(ServiceError):
            shop.calibrate()
        assert shop.state() == shop.before


def test_an_interrupted_calibration_of_another_gallery_is_not_touched(tmp_path):
    with Shop(tmp_path) as shop:
        journal = tmp_path / "imgprep-work/calibrate/journal.json"
        journal.parent.mkdir(parents=True)
        journal.write_text(json.dumps({"gallery": "shop in cn-shanghai", "bucket": "theirs"}), encoding="utf-8")
        with pytest.raises(ConfigError, match="of shop in cn-shanghai, bucket theirs, was interrupted"):
            shop.calibrate()
        assert journal.exists() and len(shop.sandbox.tasks()) == 1


def test_the_instances_rate_is_obeyed_and_the_plan_holds(tmp_path, commands):
    with Shop(tmp_path, throttle=True, qps=2) as shop:
        environment = shop.sandbox.environment()
        done = commands.run(["calibrate", "--dry-run", "--format", "json"], cwd=tmp_path, env=environment)
        rows = json.loads(done.stdout)
        assert done.returncode == 0 and {row["point"] for row in rows} == {*QUESTIONS, *REPORT_QUESTIONS}
        assert {row["point"] for row in rows if row["task"] is None} == {
            question.id for question in QUESTIONS.values() if question.apart
        }
        assert re.search(r"\d+ lines in 3 tasks, \d+ requests .*; at least \d+ minutes?", done.stderr)
        assert len(shop.sandbox.tasks()) == 1, "a dry run sends nothing"
        clock = FakeClock()
        clock.on_sleep = lambda: shop.sandbox.clock.advance(clock.slept[-1])
        plan = plan_calibration(shop.settings, clock=clock)
        before = len(shop.sandbox.calls), len(shop.sandbox.requests)
        calibrate(shop.settings, progress=False, clock=clock)
        shared = next(task for task in shop.sandbox.tasks() if task["path"].endswith("/shared"))
        assert 60 <= shared["lines"] <= 100
        calls = [call for call in shop.sandbox.calls[before[0] :] if call.action != "IncreaseList"]
        assert len(calls) + len(shop.sandbox.requests) - before[1] <= plan.requests
        searches = [call for call in shop.sandbox.calls if call.action in SEARCHES]
        assert len(searches) > 100 and {call.code for call in searches} == {""}
