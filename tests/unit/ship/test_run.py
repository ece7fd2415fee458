"""A run whose report is read again."""

import json

import pandas as pd
import pytest

import imgprep as ip
from imgprep.cli.main import main
from imgprep.cli.output import ExitCode
from imgprep.core.errors import ConfigError, ServiceError
from imgprep.outcomes.tallies import tally_causes
from imgprep.ship.report.match import read_report
from imgprep.ship.run import OUTCOME, OVERFLOW, open_run, write_table

REPORT = b"line 1: watermark found\nline 2: PicNotExist\n"
CUSTOM = '[[cause]]\nid = "watermark"\nphrases = ["watermark"]\n'


@pytest.fixture
def run(tmp_path):
    """Lines 1 and 2 failed, the first for a reason that the table does not know."""
    batch = pd.DataFrame({"line": [1, 2, 3], "OperationType": "ADD", "ProductId": ["1", "2", "3"]})
    batch["PicName"] = batch["ProductId"] + ".jpg"
    batch.to_parquet(tmp_path / "batch.parquet")
    (tmp_path / "report.raw").write_bytes(REPORT)
    write_table(tmp_path, OUTCOME, read_report(REPORT, batch))
    about = {"version": 1, "id": "r", "state": "partial", "settings": {}, "counts": {}, "times": {}}
    (tmp_path / "run.json").write_text(json.dumps(about))
    return open_run(tmp_path)


def test_a_custom_phrase_reaches_the_charts(run, tmp_path):
    (tmp_path / "causes.toml").write_text(CUSTOM)
    before = run.outcome
    assert before["cause"].tolist()[:2] == ["unrecognised", "image_missing"]
    run.read_again(tmp_path / "causes.toml")
    after = open_run(tmp_path).outcome
    assert after["cause"].tolist()[:2] == ["watermark", "image_missing"]
    pd.testing.assert_frame_equal(after.drop(columns="cause"), before.drop(columns="cause"))
    assert set(tally_causes(run)["label"]) == {"watermark", "image missing"}


def test_a_run_without_a_report_has_nothing_to_read_again(run, tmp_path):
    (tmp_path / "causes.toml").write_text(CUSTOM)
    (tmp_path / "report.raw").unlink()
    with pytest.raises(ConfigError, match="no error report to read again"):
        run.read_again(tmp_path / "causes.toml")
    (tmp_path / "outcome.parquet").unlink()
    with pytest.raises(ConfigError, match="no outcome"):
        run.read_again(tmp_path / "causes.toml")


def test_no_report_that_was_read_is_ever_destroyed_and_the_last_reading_counts(run, tmp_path):
    other, third = tmp_path / "other.csv", tmp_path / "third.csv"
    other.write_bytes(b"line 1: watermark found\n# 9.jpg\nPicNotExist 9.jpg\n")
    third.write_bytes(b"line 3: PicNotExist\n")
    with pytest.raises(ConfigError, match=r"changes the outcome of 2 lines, .* confirm with the name of .*'gallery'"):
        run.close(report=other)
    assert (tmp_path / "report.raw").read_bytes() == REPORT and run.refresh().counts == {}
    assert not (tmp_path / "report.2.raw").exists() and run.outcome["outcome"].tolist()[1] == "failed"

    run.close(report=other, confirm="gallery")
    (tmp_path / OVERFLOW).write_text("left over\n")
    assert run.about["report"]["unmatched"] == 1
    run.close(message="Success", confirm="gallery")
    assert run.outcome["outcome"].tolist() == ["imported"] * 3
    assert not {OVERFLOW, "unmatched.parquet"} & {file.name for file in tmp_path.iterdir()}
    assert run.about["report"] is None and not run.causes_changed
    run.close(report=third, confirm="gallery")
    assert run.outcome["outcome"].tolist() == ["imported", "imported", "failed"]

    kept = [(tmp_path / name).read_bytes() for name in ("report.raw", "report.2.raw", "report.3.raw")]
    assert kept == [REPORT, other.read_bytes(), third.read_bytes()]
    read = open_run(tmp_path).readings
    assert [reading["report"] for reading in read] == ["report.raw", "report.2.raw", None, "report.3.raw"]
    assert "other.csv" in read[1]["why"] and "'Success'" in read[2]["why"] and all(each["when"] for each in read[1:])
    assert ip.gallery_state([run]).attrs["readings"] == {"r": read[3] | {"of": 4}}


def test_the_same_report_again_needs_no_confirmation_and_no_second_copy(run, tmp_path):
    again = tmp_path / "again"
    again.write_bytes(REPORT)
    run.close(report=again)
    assert [reading["report"] for reading in run.readings] == ["report.raw"] * 2
    assert not (tmp_path / "report.2.raw").exists()


def test_lines_that_were_unknown_are_settled_without_a_confirmation(run, tmp_path):
    run.close(message="FAIL", confirm="gallery")
    assert run.outcome["outcome"].eq("unknown").all()
    assert run.close(report=tmp_path / "report.raw").counts["failed"] == 2
    assert run.readings[-1]["report"] == "report.raw", "the same bytes are kept once"


def test_an_ended_run_is_set_aside_after_a_confirmation_only(run):
    with pytest.raises(ConfigError, match="sets it aside"):
        run.close()
    assert run.close(confirm="gallery").state == "closed"


def test_the_command_names_the_option_that_confirms(run, tmp_path, capsys):
    (tmp_path / "other.csv").write_bytes(b"line 3: PicNotExist\n")
    run.update(settings={"instance": "shop"})
    words = ["report", str(tmp_path), "--report", str(tmp_path / "other.csv")]
    assert main(words) == ExitCode.UNUSABLE
    assert "'shop' (confirm=, --confirm)" in capsys.readouterr().err
    assert main([*words, "--confirm", "shop"]) == ExitCode.FINDINGS
    assert main(["close", str(tmp_path), "--message", "Success"]) == ExitCode.UNUSABLE
    assert main(["close", str(tmp_path), "--message", "Success", "--confirm", "shop"]) == ExitCode.FINE


STRAY = REPORT + b"the last image could not be read: PicNotExist\n"


def test_unmatched_entries_are_shown_everywhere_until_a_person_ignores_them(run, tmp_path, capsys, caplog):
    (tmp_path / "saved").write_bytes(STRAY)
    run.update(settings={"instance": "shop", "bucket": "b", "path": "p"})
    run.batch.assign(Region=None, expected="imported").to_parquet(tmp_path / "batch.parquet")
    words = ["report", str(tmp_path), "--report", str(tmp_path / "saved"), "--confirm", "shop"]
    assert main(words) == ExitCode.PARTIAL
    shown = capsys.readouterr()
    assert "unmatched" in shown.out and "1 entry of the report names no line" in shown.err
    assert run.refresh().outcome["outcome"].tolist() == ["failed", "failed", "unknown"]
    assert repr(run) == "Run(shop, partial: 2 failed, 1 unknown, 1 unmatched in the report)"
    page = ip.write_report(run, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "1 unmatched entry in the error report: lines that the report does not name are unknown" in page
    state = ip.gallery_state([run])
    assert state["state"].tolist() == ["unknown"] and state.attrs["unmatched"] == {"r": 1}
    assert "run r: 1 entry of its report matches no line" in caplog.text

    assert main(["close", str(tmp_path), "--ignore-unmatched"]) == ExitCode.FINDINGS
    assert "name no line" not in capsys.readouterr().err
    assert run.refresh().outcome["outcome"].tolist() == ["failed", "failed", "imported"]
    assert run.about["report"] == {"entries": 3, "repeated": 0, "unmatched": 1, "notes": 0, "ignored": 1}
    assert ip.gallery_state([run])["state"].tolist() == ["held"]


def test_a_run_that_was_read_before_unmatched_entries_counted_is_in_doubt_too(run):
    run.update(report={"entries": 3, "unmatched": 1}, counts={"imported": 1, "deleted": 0, "failed": 2, "unknown": 0})
    assert run.outcome["outcome"].tolist() == ["failed", "failed", "unknown"]
    assert run.outcome_columns("line", "outcome")["outcome"].tolist() == ["failed", "failed", "unknown"]
    assert repr(run) == "Run(no instance, partial: 2 failed, 1 unknown, 1 unmatched in the report)"


def test_there_is_nothing_to_ignore_without_a_report_or_where_the_task_failed(run, tmp_path):
    run.update(state="failed")
    with pytest.raises(ConfigError, match="its task failed"):
        run.close(ignore_unmatched=True)
    (tmp_path / "report.raw").unlink()
    with pytest.raises(ConfigError, match="it has no error report"):
        run.close(ignore_unmatched=True)


def submitted(folder, **settings):
    about = {"version": 1, "id": "r", "state": "submitted", "task_id": "7", "counts": {"lines": 1}, "times": {}}
    about["settings"] = {"region": "cn-shanghai", "instance": "shop", "bucket": "pictures", "path": "/increment"}
    about["settings"] |= settings
    pd.DataFrame({"line": [1], "ProductId": ["1"], "PicName": ["a.jpg"]}).to_parquet(folder / "batch.parquet")
    (folder / "run.json").write_text(json.dumps(about))
    return open_run(folder)


@pytest.fixture
def sent(monkeypatch, tmp_path):
    """The hosts that a connection was opened to; each ends at once. The current folder is nobody's project."""
    import socket

    from imgprep.cloud import imagesearch

    hosts = []

    def noted(host, *_, **__):
        hosts.append(host)
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", noted)
    monkeypatch.setattr(imagesearch.ImageSearch, "__init__", _impatient(imagesearch.ImageSearch.__init__))
    for name in ("IMGPREP_IMAGESEARCH_ENDPOINT", "IMGPREP_OSS_ENDPOINT", "http_proxy", "https_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"):
        monkeypatch.setenv(name, "x" * 20)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return hosts


def _impatient(original):
    return lambda self, settings, **named: original(self, settings, **{**named, "patience": 0.0})


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://collector.example",
        "https://collector.example",
        "http://imagesearch.cn-shanghai.aliyuncs.com",  # the vendor's, but in the clear
        "https://imagesearch.cn-shanghai.aliyuncs.com.collector.example",
        "https://imagesearch.cn-shanghai.aliyuncs.com@collector.example",
        "https://collector.cn-shanghai.fc.aliyuncs.com",  # a customer's function
        "https://10.0.0.7",
    ],
)
def test_a_run_folder_that_names_a_foreign_endpoint_gets_no_credentials(tmp_path, sent, endpoint):
    run = submitted(tmp_path, imagesearch_endpoint=endpoint)
    with pytest.raises(ConfigError, match="no credentials were sent"):
        run.follow(progress=False, wait=False)
    with pytest.raises(ConfigError, match="no credentials were sent"):
        run.follow(run.sent_to, progress=False, wait=False)
    assert sent == []


def test_a_region_that_is_no_region_gets_no_credentials(tmp_path, sent):
    run = submitted(tmp_path, region="x@collector.example/")
    with pytest.raises(ConfigError):
        run.follow(progress=False, wait=False)
    assert sent == []


def test_credentials_go_to_the_vendor_and_to_the_projects_own_endpoint(tmp_path, sent, monkeypatch):
    run = submitted(tmp_path)
    with pytest.raises(ServiceError, match="no usable answer"):
        run.follow(progress=False, wait=False)
    assert sent == ["imagesearch.cn-shanghai.aliyuncs.com"]
    (tmp_path / "elsewhere" / "imgprep.toml").write_text('[service]\nendpoint = "http://search.shop.internal"\n')
    run = submitted(tmp_path, imagesearch_endpoint="http://search.shop.internal")
    with pytest.raises(ServiceError, match="no usable answer"):
        run.follow(progress=False, wait=False)
    assert sent[-1] == "search.shop.internal"


def test_a_foreign_endpoint_is_asked_for_once_and_then_used(tmp_path, sent, monkeypatch):
    questions = []

    def typed(question):
        questions.append(question)
        return "collector.example"

    monkeypatch.setattr("builtins.input", typed)
    run = submitted(tmp_path, imagesearch_endpoint="https://collector.example")
    for _ in range(2):
        with pytest.raises(ServiceError, match="no usable answer"):
            run.follow(progress=False, wait=False)
    assert len(questions) == 1 and "https://collector.example" in questions[0]
    assert set(sent) == {"collector.example"}
