"""Twelve weeks of the demo shop: what they are meant to show is what the runs say."""

import json
import shutil

import pytest

import imgprep as ip
from imgprep.core.errors import ConfigError
from imgprep.demo import history as histories
from imgprep.demo.history import history_folder, make_history
from imgprep.demo.shop import DemoShop
from imgprep.draw.store import RegionStore
from imgprep.outcomes.tallies import tally_by

pytestmark = pytest.mark.xdist_group("history")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return make_history(tmp_path_factory.mktemp("twelve") / "runs")


@pytest.fixture(scope="module")
def story():
    return json.loads((history_folder() / "history.json").read_text(encoding="utf-8"))


def test_every_week_was_sent_and_the_runs_say_what_the_story_says(runs, story):
    weeks = [run for run in runs if run.started_at[:10] != runs[7].started_at[:10]]
    assert len(runs) == 13 and len(weeks) == 12 == len(story["sent"])
    sums = ip.tally_outcomes(weeks)[["lines", "imported", "deleted", "failed"]]
    sent = [[week[name] for name in sums.columns] for week in story["sent"]]
    assert sums.astype(int).values.tolist() == sent
    assert sent[0][0] > 100 and all(0 < lines < sent[0][0] / 2 for lines, *_ in sent[1:]), "a week sends what changed"


def test_what_is_sent_for_the_first_time_succeeds_more_often(runs):
    shares = []
    for some in (runs[:4], runs[-3:]):
        new = [run.outcome.merge(run.batch.query("reason == 'new'")[["line"]], on="line")["outcome"] for run in some]
        imported = [end.eq("imported") for end in new]
        shares.append(sum(map(sum, imported)) / sum(map(len, imported)))
    assert shares[1] > shares[0] + 0.04, shares


def test_half_an_export_was_stopped_and_lost_nothing(runs, story):
    assert story["stopped"]["week"] == 5 and "collapsed" in story["stopped"]["message"]
    assert sum(run.batch["OperationType"].eq("DELETE").sum() for run in runs) == 0


def test_one_photographers_pictures_fail_more_often_than_any_others(runs, story):
    by = tally_by(runs, "photographer")
    by = by[~by["cause"].isin(["bad_str_attr", "timeout"])]  # those have nothing to do with who took a picture
    by = by.groupby("value").agg({"count": "sum", "lines": "first"})
    share = (by["count"] / by["lines"]).sort_values()
    assert share.index[-1] == story["photographer"] and share.iloc[-1] > 1.5 * share.iloc[-2]


def test_what_timed_out_came_through_when_it_was_sent_again(runs, story):
    retry = story["retry"]
    assert retry["timed_out"] == retry["lines"] == retry["imported"] > 3
    assert (runs[6].outcome["cause"] == "timeout").sum() == retry["timed_out"]


def test_a_cause_comes_back(runs, story):
    causes = ip.tally_causes(runs)
    seen = [number for number, run in enumerate(runs) if run.id in set(causes.query("cause == 'bad_str_attr'")["run"])]
    assert {week for week, _ in story["too_long"]} == {2, 9}
    assert {1, 9} <= set(seen), "the run of week 9 is the tenth: week 7 has two"
    assert not {2, 3, 4, 5, 6, 7} & set(seen)


def test_three_people_drew_and_two_of_them_disagree(tmp_path, runs, story):
    kept = shutil.copytree(history_folder(), tmp_path / "kept")
    with RegionStore(kept / "regions.sqlite") as store:
        assert set(store.frame()["who"]) == {"Ann", "Bo", "Cai"}
        open_ones = store.conflicts()
    assert sorted(open_ones["PicName"]) == sorted(story["disagree"]) and len(open_ones) == 2
    assert set(open_ones["who_ours"]) == {"Ann"} and set(open_ones["who_theirs"]) == {"Bo"}
    assert runs[5].batch["Region"].notna().sum() > runs[4].batch["Region"].notna().sum(), "they were sent"


def test_real_runs_are_never_removed_whatever_their_names(tmp_path):
    real = tmp_path / "runs" / "20260101T000000Z-demo-0001" / "run.json"
    real.parent.mkdir(parents=True)
    real.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="not from a generated history"):
        make_history(tmp_path / "runs", weeks=1)
    assert real.read_text(encoding="utf-8") == "{}"


def test_a_history_is_made_once_and_laid_down_again(tmp_path, runs, monkeypatch):
    first = make_history(tmp_path / "runs")
    monkeypatch.setattr(histories, "_make", lambda *_: pytest.fail("made again"))
    again = make_history(tmp_path / "runs")
    assert [run.id for run in again] == [run.id for run in first] == [run.id for run in runs]
    assert again[0].outcome["outcome"].equals(first[0].outcome["outcome"]) and len(again[0].outcome)


def test_a_making_that_was_killed_is_taken_up_again_and_its_leftovers_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(histories, "demo_shop", lambda **_: DemoShop(tmp_path))
    made = []

    def make(shop, kept, weeks, seed):
        made.append(sorted(file.name for file in kept.rglob("*") if file.is_file() and file.name[0] != "."))
        (kept / "half.txt").write_text("runs", encoding="utf-8")
        if len(made) == 1:
            raise KeyboardInterrupt
        (kept / "history.json").write_text("{}", encoding="utf-8")

    monkeypatch.setattr(histories, "_make", make)
    with pytest.raises(KeyboardInterrupt):
        history_folder()
    assert history_folder() == history_folder()
    assert made == [[], ["half.txt"]], "made again after the kill, and never after it was whole"
