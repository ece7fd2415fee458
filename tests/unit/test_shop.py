"""The objects that know their shop: what a project and its runs supply."""

import pandas as pd
import pytest
from images_made import photo
from runs_made import make_run

import imgprep as ip
from imgprep.core.errors import ConfigError
from imgprep.core.frames import Table
from imgprep.core.settings import Settings
from imgprep.draw.suggest import suggest_regions
from imgprep.outcomes.retry import plan_retry
from imgprep.outcomes.tallies import tally_by, tally_failure_changes
from imgprep.shop import Project, Runs, init_project, open_project


@pytest.fixture
def shop(tmp_path):
    init_project(tmp_path / "shop")
    (tmp_path / "shop/imgprep-work/runs").mkdir()
    return Project(Settings.load(tmp_path / "shop"))


@pytest.fixture
def this():
    """The catalogue that the runs of `make_run` kept, and one more product."""
    return pd.DataFrame({"ProductId": list("ABCDE"), "PicName": ["a.jpg", "b.jpg", "<i>c.jpg", "d.jpg", "e.jpg"]})


def test_without_an_earlier_export_one_is_generated_and_marked_as_such(shop, this):
    last = shop.load_earlier(this)
    assert last["ProductId"].tolist() == list("ABCD")
    assert "generated" in last.attrs["origin"] and "earlier under [shop]" in last.attrs["origin"]
    assert "origin" not in this.attrs


def test_the_newest_runs_copy_is_the_earlier_export_unless_it_is_todays(shop, this):
    run = make_run(shop.settings.runs / "20261012", "2026-10-12", {"A": "imported"})
    assert shop.load_earlier(this)["ProductId"].tolist() == list("ABCD")
    assert "newest run" in shop.load_earlier(this).attrs["origin"]
    assert "generated" in shop.load_earlier(run.catalogue).attrs["origin"]


def test_a_corrected_catalogue_that_a_retry_kept_is_not_the_earlier_export(shop, this):
    make_run(shop.settings.runs / "20261012", "2026-10-12", {"A": "failed", "B": "imported"})
    again = make_run(shop.settings.runs / "20261013", "2026-10-13", {"A": "imported"})
    for table, corrected in (("batch", {"reason": "changed since: CategoryId"}), ("catalogue", {"CategoryId": 7})):
        file = again.folder / f"{table}.parquet"
        pd.read_parquet(file).assign(**corrected).to_parquet(file)
    assert shop.load_earlier(this)["CategoryId"].dropna().tolist() == [0, 1, 1]


def test_the_file_that_the_project_names_wins(shop, this):
    make_run(shop.settings.runs / "20261012", "2026-10-12", {"A": "imported"})
    file = shop.settings.project / "imgprep.toml"
    file.write_text(file.read_text(encoding="utf-8").replace('earlier = ""', 'earlier = "old.csv"'), encoding="utf-8")
    (shop.settings.project / "old.csv").write_text("sku,image\nZ,z.jpg\n", encoding="utf-8")
    last = open_project(shop.settings.project).load_earlier(this)
    assert last["ProductId"].tolist() == ["Z"] and last.attrs["origin"] == "the file old.csv"


def test_a_shop_without_runs_gets_the_remedy_and_never_the_demos_runs(shop):
    with pytest.raises(ConfigError, match="no run has ended here yet; first submit a batch"):
        shop.runs().newest()


def test_runs_of_the_shops_own_instance_are_kept_apart_from_rehearsals(shop, caplog):
    make_run(shop.settings.runs / "20261012", "2026-10-12", {"A": "imported"})
    make_run(shop.settings.runs / "20261019", "2026-10-19", {"A": "imported"})
    assert [run.id for run in Project(shop.settings.with_(instance="shop")).runs()] == ["20261012", "20261019"]
    assert not caplog.records
    assert len(Project(shop.settings.with_(instance="another")).runs()) == 2, (
        "none was sent there: those of the newest run's gallery"
    )
    assert "no run was sent to another; these are runs of shop" in caplog.text
    assert shop.runs().newest().id == "20261019"


def test_the_demo_shop_has_two_weeks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_project().settings.earlier is None
    later = open_project(week=2)
    assert later.catalogue.name == "catalogue_week2.csv" and later.settings.earlier == open_project().catalogue


def test_runs_answer_questions_across_them(shop):
    for day, outcomes in (("05", {"A": "failed", "B": "imported"}), ("12", {"A": "imported", "B": "imported"})):
        make_run(shop.settings.runs / f"202610{day}", f"2026-10-{day}", outcomes)
    past = shop.runs()
    assert isinstance(past, Runs) and isinstance(past[:1], Runs) and repr(past) == "Runs(2 of shop: 2 partial)"
    assert isinstance([past[0]] + past[1:], Runs) and isinstance(past[:1] + [past[1]], Runs)
    assert past.newest().id == "20261012" and past[:1].newest(failed=True).id == "20261005"
    assert past.changes().equals(tally_failure_changes(past[0], past[1], runs=past))
    assert past.causes().equals(ip.tally_causes(past)) and past.outcomes().equals(ip.tally_outcomes(past))
    assert past[0].causes().equals(ip.tally_causes(past[0])) and past[0].by("source").equals(
        tally_by(past[0], "source")
    )
    with pytest.raises(ConfigError, match="fewer than two"):
        past[:1].changes()


def test_a_project_fills_in_its_paths_rules_and_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shop = open_project(severity={"image-missing": "off"})
    catalogue = shop.load().head(12)
    assert catalogue.equals(ip.load_catalogue(shop.catalogue, **shop.settings.reading).head(12))
    facts = shop.inspect(catalogue, progress=False)
    assert "image-missing" not in set(shop.check(catalogue, facts)["rule"])
    with shop.store(who="Ann") as store:
        name = facts["PicName"].iloc[0]
        store.put(name, ip.Region(x1=3, y1=4, x2=90, y2=80), digest=facts["digest"].iloc[0], size=(200, 200))
    planned = shop.plan(catalogue, progress=False)
    built = shop.build(catalogue, progress=False)
    assert built.folder == shop.work / "batch" and len(built.plan.batch) == len(planned.batch)
    assert built.plan.batch["Region"].notna().sum() >= 1
    assert sum(map(len, planned.split(max_rows=4))) == len(planned.batch)
    assert set(shop.assign(catalogue, ["Ann", "Bo"])["person"]) == {"Ann", "Bo"}
    drawn = built.plan.batch[["PicName", "Region"]].dropna()
    assert shop.detect_swapped_regions(drawn, progress=False)["PicName"].tolist() == drawn["PicName"].tolist()
    run = shop.rehearse(built, progress=False)
    assert run.ended and run.is_sandbox and [each.id for each in shop.runs()] == [run.id]
    assert run.retry().rest.equals(plan_retry(run).rest)
    assert run.report(tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype")
    assert run.images == shop.runs()[0].images == shop.images
    assert shop.known()["state"].eq("held").all()
    assert shop.plan(catalogue, progress=False).batch.empty, "the rehearsed gallery holds it already"
    assert "holds" in shop.trace(str(catalogue["ProductId"].iloc[0])).answer


def test_on_a_sandbox_the_steps_of_a_project_go_to_its_gallery(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shop = open_project()
    catalogue = shop.load().head(12)
    with ip.Sandbox(task_seconds=0, throttle=False) as sandbox:
        there = shop.on(sandbox)
        assert there.settings.is_sandbox and there.catalogue == shop.catalogue and there.work == shop.work
        assert "SANDBOX" in repr(there.banner())
        built = there.build(catalogue.head(8), progress=False)
        assert set(there.preflight(built)["result"]) >= {"fail"}, "nothing is uploaded yet"
        assert set(there.upload(built, dry_run=True, progress=False)["outcome"]) == {"planned"}
        there.upload(built, progress=False)
        run = there.submit(built, progress=False).follow(progress=False)
        assert run.sentence == f"{len(built.plan.batch)} lines sent to demo (SANDBOX): {len(built.plan.batch)} imported"
        assert there.runs().sentence == f"{run.sentence}; 0 open images"
        assert there.tasks()["run"].tolist() == [run.id] and there.adopt(run.task_id).id == run.id
        assert set(there.undo(run).batch["OperationType"]) == {"DELETE"}, "the gallery was empty before"
        assert run.predictions().equals(there.runs().predictions())
        found = there.reconcile(dump=there.dump(progress=False))
        assert found.overlap["images"].tolist() == [len(built.plan.batch), 0, 0, 0]
        assert len(there.known()) == len(built.plan.batch)
        there.ship(there.build(catalogue, progress=False), progress=False)
        assert there.runs().sentence.startswith("2 runs, ") and there.runs().cause_spans().empty
    assert run.surprises().empty


def test_a_corrected_line_is_worth_sending_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shop = open_project(history=1)
    run, catalogue = shop.runs().newest(), shop.load()
    bad = run.retry().rest.query("cause == 'bad_region'")["PicName"]
    corrected = catalogue[catalogue["PicName"].isin(bad)].assign(Region=None)
    again = shop.retry(run, corrected, progress=False)
    assert sorted(again.batch["PicName"]) == sorted(bad) and set(again.batch["reason"]) == {"changed since: Region"}
    built = shop.build_retry(run, corrected, progress=False)
    assert shop.rehearse(built, progress=False).sentence.endswith(f"{len(bad)} imported")


def test_regions_to_practise_on_stay_apart_from_the_projects_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shop = open_project()
    practice = shop.practise(who="Ann")
    assert not shop.settings.regions.exists() and practice.path.is_relative_to(shop.work)
    boxes = practice.frame().query("state == 'region'")["PicName"]
    assert set(practice.suggestions()["PicName"]) == set(boxes)
    assert set(practice.suggestions()["fate"]) <= {"accepted", "edited", "replaced"}


def test_suggestions_are_not_compared_with_themselves(tmp_path):
    photo(seed=1).save(tmp_path / "a.jpg")
    (tmp_path / "export.csv").write_text("sku,image\nA,a.jpg\n", encoding="utf-8")
    init_project(tmp_path / "shop", catalogue=tmp_path / "export.csv", images=tmp_path)
    practice = open_project(tmp_path / "shop").practise()
    assert practice.frame()["PicName"].tolist() == ["a.jpg"] and practice.suggestions().empty


def test_a_notebook_shows_the_fault_sheet_that_was_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shop = open_project(service="trademark")
    catalogue = shop.load().head(40)
    files = shop.files(catalogue)
    assert files["PicName"].nunique() == catalogue["PicName"].nunique() and "unnamed" in set(files["how"])
    facts = shop.inspect(catalogue, progress=False)
    assert facts.attrs["service"] == "trademark"
    findings = shop.check(catalogue, facts)
    page = shop.feedback(findings[findings["severity"] == "error"], by="^([a-z]+)-")
    shown = page._repr_html_()
    assert repr(page) == "Page(feedback.html)" and page.path.parent == shop.work
    assert "<body" not in shown and "</body>" not in shown
    assert "The file is empty" in shown and ".ip-sheet" in shown
    assert "max-height: 760px" in shown and "<summary>Show all of feedback.html here</summary>" in shown


def test_the_cost_of_a_batch_is_said_by_quota_and_never_by_a_sandboxs_pace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shop = open_project()
    with ip.Sandbox(task_seconds=0, throttle=False) as sandbox:
        there = shop.on(sandbox)
        built = there.build(shop.load().head(8), progress=False)
        adds = len(built.plan.batch)
        there.ship(built, progress=False)
        cost = there.cost(built)
    assert f"{adds} lines to add, 0 to delete: about" in cost and "by the vendor's quota" in cost
    assert "earlier run" not in cost


def test_a_plan_opens_no_image_that_has_been_inspected(monkeypatch):
    shop = ip.open_project()
    catalogue = shop.load().head(5)
    assert type(shop.inspect(catalogue, progress=False)) is Table
    opened = []
    monkeypatch.setattr("imgprep.look.inspect.run_tasks", lambda target, tasks, **_: opened.extend(tasks) or iter(()))
    assert len(shop.plan(catalogue, progress=False).batch) == 5 and not opened


def test_runs_in_any_order_stay_runs_and_answer_by_time(shop):
    for day, outcomes in (("05", {"A": "failed", "B": "imported"}), ("12", {"A": "imported", "B": "imported"})):
        make_run(shop.settings.runs / f"202610{day}", f"2026-10-{day}", outcomes)
    past = shop.runs()
    for other in (past[::-1], past + past[:1], past * 2, 2 * past, past.copy()):
        assert type(other) is Runs and other.sentence == past.sentence and other.newest().id == "20261012"
        assert other.changes().equals(past.changes())
    assert past.sentence.startswith("2 runs, 2026-10-05 to 2026-10-12: first-time success rose from 50% to 100%")
    for back in (0, -1):
        with pytest.raises(ConfigError, match=f"back is {back}, but must be 1"):
            past.changes(back)
    assert past.changes(9).equals(past.changes())


def test_frames_that_a_project_returns_are_shown_as_tables(shop, this):
    assert type(shop.load_earlier(this)) is Table and shop.load_earlier(this).attrs["origin"]
    assert type(suggest_regions([], shop.settings.project, progress=False)) is Table
