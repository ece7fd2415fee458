"""The retry batch after a run that failed in part."""

import pandas as pd
import pytest
from runs_made import TableRun

from imgprep.meta.codec import loads_meta
from imgprep.outcomes.retry import plan_retry
from imgprep.ship.report.match import read_report

META = (
    '{"OperationType": "ADD","ProductId": "1","PicName": "a.jpg","CustomContent": "a"}\n'
    '{"OperationType": "ADD","ProductId": "2","PicName": "b.jpg","CategoryId": 77,"CustomContent": "b"}\n'
    '{"OperationType": "ADD","ProductId": "3","PicName": "c.tif","CustomContent": "c"}\n'
    '{"OperationType": "ADD","ProductId": "4","PicName": "d.jpg","CustomContent": "d"}\n'
    '{"OperationType": "ADD","ProductId": "5","PicName": "e.jpg","CustomContent": "e"}\n'
    '{"OperationType": "ADD","ProductId": "5","PicName": "e.jpg","CustomContent": "other"}\n'
)
REPORT = (
    b'{"PicName": "b.jpg", "Code": "InvalidCategory"}\n{"PicName": "c.tif", "Code": "UnsupportedPicFormat"}\n'
    b'{"PicName": "d.jpg", "Code": "DeniedRequest"}\n{"PicName": "e.jpg", "Code": "DeniedRequest"}\n'
)


def planned(text):
    batch = loads_meta(text)
    rows = pd.array(range(1, len(batch) + 1), dtype="Int64")
    return batch.assign(row=rows, digest="0" * 32, file=batch["PicName"], reason="new", expected="imported")


@pytest.fixture
def run():
    batch = planned(META)
    return TableRun(batch=batch, outcome=read_report(REPORT, batch))


def test_only_what_can_succeed_is_sent_again(run):
    again = plan_retry(run)
    assert again.batch[["line", "ProductId", "reason"]].values.tolist() == [
        [1, "4", "retry as it is"],
        [2, "5", "end unknown"],
        [3, "5", "end unknown"],
    ]
    assert again.rest["cause"].tolist() == ["wrong_category", "bad_format"]
    assert list(again.batch.columns) == list(run.batch.columns)


def test_the_answer_in_words_counts_what_is_worth_sending(run):
    again = plan_retry(run)
    assert again.sentence == (
        "3 of 5 failed or unknown lines are worth sending again (2 with an unknown outcome, "
        "1 with a cause that passes by itself); 2 first need a correction"
    )
    nothing = plan_retry(run, leave_out=[4, 5, 6])
    assert nothing.sentence == "nothing is worth sending again yet: 5 failed lines first need a correction"
    now = planned(META.replace("77", "1").replace("c.tif", "c.jpg"))
    assert "2 changed since" in plan_retry(run, now).sentence and "correction" not in plan_retry(run, now).sentence


def test_corrected_lines_are_sent_in_their_new_form(run):
    now = planned(META.replace("77", "1").replace("c.tif", "c.jpg"))
    again = plan_retry(run, now)
    assert again.rest.empty
    assert again.batch["PicName"].tolist() == ["b.jpg", "c.jpg", "d.jpg", "e.jpg", "e.jpg"]
    assert again.batch["reason"].tolist()[:2] == ["changed since: CategoryId", "changed since: PicName"]
    assert again.batch["CategoryId"].tolist()[0] == 1


def test_a_new_image_under_the_old_name_counts_as_corrected(run):
    now = run.batch.copy()
    now.loc[2, "digest"] = "1" * 32
    again = plan_retry(run, now)
    assert again.batch["reason"].tolist()[0] == "changed since: digest"
    assert again.rest["ProductId"].tolist() == ["2"]


def test_every_image_of_a_record_that_can_succeed_is_sent_again():
    """A record of the export with several images makes several lines of one row."""
    record = [
        f'{{"OperationType": "ADD","ProductId": "7","PicName": "{name}.jpg","CustomContent": "k"}}\n' for name in "abc"
    ]
    batch = planned("".join(record)).assign(row=pd.array([1, 1, 1], dtype="Int64"))
    report = "".join(f'{{"PicName": "{name}.jpg", "Code": "RequestTimeout"}}\n' for name in "abc").encode()
    run = TableRun(batch=batch, outcome=read_report(report, batch))
    again = plan_retry(run, batch)
    assert again.batch["PicName"].tolist() == ["a.jpg", "b.jpg", "c.jpg"] and again.rest.empty
    renamed = batch.assign(PicName=["a.jpg", "b2.jpg", "c2.jpg"])
    assert plan_retry(run, renamed).batch["PicName"].tolist() == ["a.jpg", "b2.jpg", "c2.jpg"]
