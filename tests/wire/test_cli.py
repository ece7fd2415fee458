"""The command line, from a catalogue to a reconciled batch, as cron would call it: processes and exit codes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from imgprep.cloud.imagesearch import ImageSearch
from imgprep.cloud.oss import open_bucket
from imgprep.sandbox.sandbox import Sandbox

META = "increment.meta"


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(task_seconds=0) as server:
        yield server


@pytest.fixture
def imgprep(sandbox, tmp_path, commands):
    environment = {**os.environ, **sandbox.environment(), "PYTHONWARNINGS": "ignore"}

    def run(*arguments, code=0, json_out=False):
        words = [str(word) for word in arguments] + (["--format", "json"] if json_out else [])
        done = commands.run(words, cwd=tmp_path, env=environment)
        assert code in (None, done.returncode), f"{words}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        assert environment["OSS_ACCESS_KEY_SECRET"] not in done.stdout + done.stderr
        return json.loads(done.stdout) if json_out else done.stdout

    run.again = lambda *words, variables: commands.run(words, cwd=tmp_path, env={**environment, **variables})
    return run


def build(imgprep, shop, name):
    """A batch folder of the products that are sound."""
    catalogue, photos, columns = shop
    imgprep("build", catalogue, "--images", photos, "--columns", columns, "--out", name, code=None)
    return name


@pytest.fixture
def shop(tmp_path):
    """Three products: two sound, one without its photograph."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in (1, 2):
        Image.effect_noise((200 + number, 300), 80).convert("RGB").save(photos / f"p{number}.jpg")
    catalogue = tmp_path / "export.csv"
    rows = ["sku,image,title,type"] + [f"00{n},p{n}.jpg,Shirt {n},Tops" for n in (1, 2, 3)]
    catalogue.write_text("\n".join(rows) + "\n", encoding="utf-8")
    columns = tmp_path / "columns.toml"
    columns.write_text(
        'ProductId = "sku"\nPicName = "image"\nCustomContent = "title:{title}"\n'
        '[CategoryId]\ncolumn = "type"\nmap = { Tops = 0 }\n',
        encoding="utf-8",
    )
    return catalogue, photos, columns


def test_the_whole_path_by_command(imgprep, shop, tmp_path):
    catalogue, photos, columns = shop
    found = imgprep("check", catalogue, "--images", photos, "--columns", columns, code=1, json_out=True)
    assert [(row["rule"], row["ProductId"]) for row in found if row["severity"] == "error"] == [
        ("image-missing", "003")
    ]

    batch = tmp_path / "batch"
    words = ("build", catalogue, "--images", photos, "--columns", columns, "--out", batch)
    imgprep(*words, code=1)
    lines = [json.loads(line) for line in (batch / META).read_text(encoding="utf-8").splitlines()]
    assert [(line["ProductId"], line["PicName"]) for line in lines] == [("001", "p1.jpg"), ("002", "p2.jpg")]
    assert "the image is missing" in imgprep(
        "build", catalogue, "--images", photos, "--columns", columns, "--out", batch, code=1
    )

    planned = imgprep("upload", batch, "--dry-run", json_out=True)
    assert {row["outcome"] for row in planned} == {"planned"}
    sent = imgprep("upload", batch, json_out=True)
    assert [row["outcome"] for row in sent] == ["uploaded"] * 3 and sent[-1]["key"].endswith(META)
    again = imgprep("upload", batch, json_out=True)
    assert [row["outcome"] for row in again] == ["unchanged"] * 3

    runs = tmp_path / "runs"
    ended = imgprep("submit", batch, "--runs", runs, json_out=True)
    assert (ended[0]["imported"], ended[0]["lines"], ended[0]["state"]) == (2, 2, "success")
    # Repeated after success: the same task, not a second one.
    imgprep("submit", batch, "--runs", runs)
    assert len(imgprep("tasks", json_out=True)) == 1
    assert len(list(runs.glob("*/run.json"))) == 1

    page = tmp_path / "report.html"
    imgprep("report", *(file.parent for file in runs.glob("*/run.json")), "--html", page, "--images", batch / "images")
    assert "001" not in page.read_text(encoding="utf-8") or "None of 2 lines failed" in page.read_text(encoding="utf-8")

    # Everything is held by now: the next plan is empty.
    imgprep(*words, "--known", runs, code=1)
    assert (batch / META).read_text(encoding="utf-8") == ""


def test_the_gallery_is_verified_by_command(imgprep, shop, sandbox, tmp_path):
    assert imgprep("upload", build(imgprep, shop, "batch")) is not None
    imgprep("submit", "batch")
    assert imgprep("verify", "--dry-run") == ""
    assert imgprep("verify", json_out=True) == []
    assert [row["answer"] for row in imgprep("verify", "--all", json_out=True)] == ["there as sent"] * 2
    events = imgprep("trace", "001", "--ask", json_out=True)
    assert events[-1]["what"] == "asked" and "CategoryId 0" in events[-1]["detail"]
    image = sandbox.imagesearch._state.image("demo", "001", "p1.jpg")
    sandbox.lose("001", "p1.jpg")
    try:
        lost = imgprep("verify", "--sample", "all", code=1, json_out=True)
        assert [(row["ProductId"], row["answer"]) for row in lost] == [("001", "not there")]
        assert imgprep("trace", "001", "--ask", code=1).count("not in the gallery") == 2, "the check, and just now"
        imgprep("build", shop[0], "--images", shop[1], "--columns", shop[2], "--out", "again", "--known",
                "imgprep-work/runs", "imgprep-work/checks", code=1)  # fmt: skip
        assert "p1.jpg" in (tmp_path / "again" / META).read_text(encoding="utf-8")
        imgprep("review", "--html", "month.html")
        page = (tmp_path / "month.html").read_text(encoding="utf-8")
        assert "checked on" in page and "there as sent: 1" in page
    finally:
        from imgprep.sandbox.imagesearch.state import Put

        sandbox.imagesearch._state.change("demo", [Put("001", "p1.jpg", image)])


def test_the_page_of_a_run_shows_pictures_that_are_there_twice(imgprep, shop, tmp_path):
    catalogue, photos, columns = shop
    (photos / "p2.jpg").write_bytes((photos / "p1.jpg").read_bytes())
    batch, page = tmp_path / "batch", tmp_path / "report.html"
    imgprep("build", catalogue, "--images", photos, "--columns", columns, "--out", batch, code=1)
    imgprep("upload", batch, "--path", "/twice")
    imgprep("submit", batch, "--path", "/twice", "--runs", tmp_path / "runs")
    (run,) = (file.parent for file in (tmp_path / "runs").glob("*/run.json"))
    imgprep("report", run, "--html", page, "--images", photos)
    text = page.read_text(encoding="utf-8")
    assert "Duplicate images" in text and "the same file, 2 products" in text
    assert text.partition("Duplicate images")[2].count("data:image/jpeg") == 2
    (tmp_path / "imgprep.toml").write_text(f"[shop]\nimages = {json.dumps(str(photos))}\n", encoding="utf-8")
    imgprep("report", run, "--html", page, "--project", tmp_path)
    again = page.read_text(encoding="utf-8")  # the project knows its photographs
    assert again.partition("Duplicate images")[2] == text.partition("Duplicate images")[2]


def test_refused_rows_come_back_with_the_cause_that_was_predicted(imgprep, shop, tmp_path, monkeypatch):
    catalogue, photos, columns = shop
    batch = tmp_path / "batch"
    words = ("build", catalogue, "--images", photos, "--columns", columns, "--keep-refused", "--out", batch)
    imgprep(*words, code=1)
    imgprep("upload", batch, "--path", "/refused")
    ended = imgprep("submit", batch, "--path", "/refused", "--runs", tmp_path / "runs", code=1, json_out=True)
    assert (ended[0]["failed"], ended[0]["imported"], ended[0]["state"]) == (1, 2, "partial")
    run = next((tmp_path / "runs").glob("*/run.json")).parent
    listed = imgprep("report", run, code=1, json_out=True)
    assert [cause["cause"] for cause in listed[0]["causes"]] == ["image_missing"]
    printed = imgprep("report", run, code=1)
    assert "image_missing" in printed and "fix the image" in printed


def test_follow_from_cron_ends_what_is_open_and_then_has_nothing_to_do(imgprep, shop, tmp_path):
    catalogue, photos, columns = shop
    batch, runs = tmp_path / "batch", tmp_path / "runs"
    imgprep("build", catalogue, "--images", photos, "--columns", columns, "--out", batch, code=1)
    imgprep("upload", batch, "--path", "/cron")
    imgprep("submit", batch, "--path", "/cron", "--runs", runs, "--no-follow", code=3)
    ended = imgprep("follow", "--runs", runs, json_out=True)
    assert [(run["state"], run["imported"]) for run in ended] == [("success", 2)]
    assert imgprep("follow", "--runs", runs, json_out=True) == []
    dump = imgprep("dump", "--into", tmp_path / "dumps").strip()
    words = ("build", catalogue, "--images", photos, "--columns", columns, "--out", batch)
    imgprep(*words, "--known", dump, code=1)
    imgprep("dump", "--into", tmp_path / "dumps")
    imgprep(*words, "--known", runs, "--known", tmp_path / "dumps", code=1)
    assert not (batch / "increment.meta").read_bytes(), "all is held, by the runs and by the newest export"


def test_follow_from_cron_passes_over_what_it_cannot_follow(imgprep, shop, tmp_path):
    built, runs = build(imgprep, shop, "passing"), tmp_path / "passing-runs"
    for path, how in (("/passing-1", "--by-hand"), ("/passing-2", "--no-follow")):
        imgprep("upload", built, "--path", path)
        imgprep("submit", built, "--path", path, how, "--runs", runs, code=3)
    ended = imgprep("follow", "--runs", runs, code=3, json_out=True)
    assert [run["state"] for run in ended] == ["submitted", "success"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("check", "nowhere.csv"), "nowhere.csv"),
        (("upload", "nowhere"), "nowhere"),
        (("report", "nowhere"), "nowhere"),
        (("check", "export.csv", "--columns", "nowhere.toml"), "nowhere.toml"),
    ],
)
def test_what_cannot_be_used_is_named(imgprep, shop, words, message):
    done = imgprep.again(*words, variables={})
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr


def test_by_hand_the_console_is_explained_and_the_run_closed_by_what_it_says(imgprep, shop, tmp_path):
    built = build(imgprep, shop, "hand")
    imgprep("upload", built, "--path", "/by-hand")
    steps = imgprep("submit", built, "--path", "/by-hand", "--by-hand", "--runs", "hand-runs", code=3)
    assert "Path:         /by-hand" in steps
    (run,) = (tmp_path / "hand-runs").glob("*-demo-*")
    assert f"imgprep close hand-runs/{run.name} --message" in steps
    imgprep("close", run, code=2)
    imgprep("close", run, "--message", "it went fine", code=2)
    (ended,) = imgprep("close", run, "--message", "Success", json_out=True)
    assert ended["state"] == "success" and ended["imported"] == ended["lines"]
    imgprep("follow", "--runs", "hand-runs")
    imgprep("close", run, "--message", "Some of the images cannot be imported", "--confirm", "demo", code=3)
    doubt = imgprep.again("follow", "--runs", "hand-runs", variables={})
    assert doubt.returncode == 3 and "unknown line" in doubt.stderr, "it has ended, and still nothing is certain"


def test_a_task_made_in_the_console_is_adopted_by_its_number(imgprep, shop, sandbox):
    built = build(imgprep, shop, "console")
    imgprep("upload", built, "--path", "/console")
    task = ImageSearch(sandbox.settings.with_(path="/console")).start_task()
    (adopted,) = imgprep("adopt", task, "--runs", "console-runs", json_out=True)
    assert adopted["state"] == "success"
    listed = {row["id"]: row["run"] for row in imgprep("tasks", "--runs", "console-runs", json_out=True)}
    assert listed[task] == adopted["run"]
    imgprep("adopt", "999999", "--runs", "console-runs", code=2)


def test_preflight_fails_before_the_upload_and_not_after_it(imgprep, shop):
    built = build(imgprep, shop, "looked-at")
    before = imgprep("preflight", built, "--path", "/looked-at", json_out=True, code=2)
    printed = imgprep("preflight", built, "--path", "/looked-at", code=2)
    assert all(row["remedy"] in printed for row in before if row["result"] != "ok"), "none is cut short"
    assert {row["check"] for row in before if row["result"] == "fail"} == {META, "images"}
    imgprep("upload", built, "--path", "/looked-at")
    imgprep("preflight", built, "--path", "/looked-at")


def test_a_dry_run_lists_what_belongs_to_nothing_and_not_what_earlier_runs_sent(imgprep, shop, sandbox):
    built = build(imgprep, shop, "first-week")
    imgprep("upload", built, "--path", "/weeks")
    imgprep("submit", built, "--path", "/weeks", "--runs", "weeks")
    open_bucket(sandbox.settings).put_object("weeks/left-behind.jpg", b"x")
    shop[0].write_text("sku,image,title,type\n001,p1.jpg,Another title,Tops\n", encoding="utf-8")
    built = build(imgprep, shop, "second-week")
    planned = imgprep("upload", built, "--path", "/weeks", "--runs", "weeks", "--dry-run", json_out=True)
    assert [row["key"] for row in planned if row["outcome"] == "stray"] == ["weeks/left-behind.jpg"]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"OSS_SESSION_TOKEN": "to ken"}, "security_token"),
        ({"IMGPREP_OSS_ENDPOINT": "http://127.0.0.1:port"}, "oss_endpoint"),
        ({"IMGPREP_OSS_ENDPOINT": "https://oss.invalid", "HTTPS_PROXY": "socks5://127.0.0.1:1"}, "HTTPS_PROXY"),
        ({"IMGPREP_BUCKET": "Bad_Name"}, "3 to 63"),
    ],
)
def test_settings_that_cannot_work_are_named(imgprep, shop, variables, message):
    built = build(imgprep, shop, "any")
    done = imgprep.again("upload", built, variables=variables)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


def test_policy_prints_documents_without_the_double_slash(imgprep):
    document = json.loads(imgprep("policy", "--document", "role"))
    assert document["Statement"][0]["Resource"] == ["acs:oss:*:*:imgprep-demo/increment/*"]
    assert "Create RAM Role" in imgprep("policy")


def test_init_makes_a_project_once(imgprep, tmp_path):
    imgprep("init", tmp_path / "project")
    assert (tmp_path / "project" / "imgprep.toml").exists()
    assert "Everything exists already" in imgprep("init", tmp_path / "project")


def test_help_names_every_command():
    done = subprocess.run([sys.executable, "-m", "imgprep", "--help"], capture_output=True, text=True, check=True)
    commands = [
        "demo",
        "init",
        "check",
        "fetch",
        "prepare",
        "build",
        "upload",
        "preflight",
        "submit",
        "follow",
        "close",
        "report",
        "retry",
        "tasks",
        "adopt",
        "dump",
        "verify",
        "policy",
        "sandbox",
    ]
    assert all(f"  {name} " in done.stdout for name in commands)
    root = Path(__file__).parents[2]
    assert (root / "imgprep" / "__main__.py").exists()


def test_names_that_nearly_fit_are_offered_and_taken_on_demand_from_a_folder_and_a_zip(imgprep, shop, tmp_path):
    catalogue, photos, columns = shop
    (photos / "p2.jpg").rename(photos / "P2.JPEG")
    Image.new("RGB", (300, 200)).save(photos / "extra.jpg")
    words = ("--images", photos, "--columns", columns)
    found = {row["rule"]: row for row in imgprep("check", catalogue, *words, code=1, json_out=True)}
    printed = imgprep("check", catalogue, *words, code=1)
    assert 'use "P2.JPEG"' in printed
    assert (
        "2 files are not named by any row" not in printed and '1 file is not named by any row: "extra.jpg"' in printed
    )
    assert found["file-unnamed"]["severity"] == "info"

    archive = shutil.make_archive(str(tmp_path / "photos"), "zip", photos)
    for number, images in enumerate((photos, archive)):
        words = ("build", catalogue, "--images", images, "--columns", columns, "--near-names")
        for option in ((), ("--keep-refused",)):
            batch = tmp_path / f"batch{number}{len(option)}"
            imgprep(*words, "--out", batch, *option, code=1)
            lines = [json.loads(line) for line in (batch / META).read_text(encoding="utf-8").splitlines()]
            assert [line["PicName"] for line in lines][:2] == ["p1.jpg", "P2.JPEG"]
            assert (batch / "images" / "P2.JPEG").read_bytes() == (photos / "P2.JPEG").read_bytes()
    findings = pd.read_parquet(batch / "findings.parquet").set_index("rule")
    assert findings.loc["file-name-extension", ["value", "PicName"]].tolist() == ["p2.jpg", "P2.JPEG"]
    imgprep("build", catalogue, "--images", catalogue, "--columns", columns, "--out", tmp_path / "no", code=2)
