"""The data dictionary lists exactly the columns, in order and with their types, of frames that the demo shop gives."""

import re
from pathlib import Path

import pandas as pd
import pytest

import imgprep as ip
from imgprep.core.fields import BY_NAME, FIELDS
from imgprep.draw.suggest import suggest_regions
from imgprep.draw.tallies import (
    tally_drawings_saved,
    tally_region_origins,
    tally_region_sizes,
    tally_suggestions,
)
from imgprep.load.drift import compare_products
from imgprep.load.suggestions import suggest_categories, suggest_columns
from imgprep.look.facts import FACT_MEANING
from imgprep.look.field_fixes import apply_fixes
from imgprep.look.rules.book import tally_findings
from imgprep.look.tallies import tally_attributes
from imgprep.outcomes.calibrate import ANSWER_COLUMNS, plan_calibration
from imgprep.outcomes.findability import findability
from imgprep.outcomes.service_regions import service_regions
from imgprep.outcomes.tallies import line_verdicts, tally_durations, tally_failure_changes
from imgprep.outcomes.verify import verify_gallery
from imgprep.outcomes.what_if import what_if
from imgprep.plan.preview import estimate
from imgprep.ship.submit import tasks

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
ROWS = 40


def load_and_look(shop, catalogue, facts):
    last, this = catalogue.head(ROWS), catalogue.tail(-5)
    findings = shop.check(catalogue, facts)
    every = shop.work / "every-field.csv"
    pd.DataFrame([dict.fromkeys(BY_NAME, "1")]).to_csv(every, index=False)
    yield "Catalogue", ip.load_catalogue(every)
    yield "Attributes", tally_attributes(catalogue)
    yield "Column suggestions", suggest_columns(catalogue)
    yield "Category suggestions", suggest_categories(catalogue, "type")
    yield "Export drift", ip.compare_exports(last, this)
    yield "Changed products", compare_products(last, this)
    yield "Findings", findings
    yield "Rules that ran", findings.attrs["ran"]
    yield "Summary of findings", ip.tally_rules(findings)
    yield "Findings per rule", tally_findings(findings)
    for name, tally in ip.tally_images(facts, catalogue).items():
        yield f"Image tallies.{name}", tally
    yield "Facts", facts
    yield "Duplicates", ip.find_duplicates(facts, catalogue)
    yield "Matches", ip.match_files(shop.images, catalogue)
    yield "Fetch log", ip.fetch_images(catalogue.head(0), shop.work / "fetched")
    yield "Fix log", apply_fixes(catalogue, findings)[1]


def draw_and_plan(shop, catalogue, facts):
    names = facts["PicName"].head(3).tolist()
    store = shop.store(who="Ann")
    store.put(names[0], ip.Region(x1=1, y1=2, x2=40, y2=50), size=(100, 100))
    yield "Regions", store.frame()
    yield "Suggested regions", suggest_regions(names, shop.images, progress=False)
    yield "Agreement", store.agreement(store)
    yield "Region sizes", tally_region_sizes(store.frame())
    yield "Region origins", tally_region_origins(store.frame())
    store.note_suggestion(names[0], ip.Region(x1=1, y1=2, x2=40, y2=50), 0.9, final=store.get(names[0]))
    yield "Suggestions shown", store.suggestions()
    yield "Suggestion tally", tally_suggestions(store.suggestions())
    yield "Prepare log", ip.prepare_images(facts.head(5), shop.images, shop.work / "copies", progress=False)
    plan = shop.plan(catalogue, progress=False)
    for name in ("batch", "deferred", "before", "carried", "summary", "rows", "diff"):
        frame = getattr(plan, name)
        yield f"Plan.{name}", frame() if callable(frame) else frame
    yield "Estimate", estimate(plan)


def ship(runs, settings, log, images):
    (run,) = runs
    yield "Preflight", ip.preflight(settings)
    yield "Upload log", log
    yield "Strays", log.attrs["strays"]
    yield "Tasks", tasks(settings)
    yield "Outcome", run.outcome
    yield "Gallery state", ip.gallery_state(runs)
    yield "Outcomes per run", ip.tally_outcomes(runs)
    yield "Causes", ip.tally_causes(runs)
    yield "Causes by value", ip.Runs(runs).by("format")
    yield "Failure changes", tally_failure_changes(run, run)
    yield "Flow", ip.Runs(runs).flow()
    yield "Predictions", ip.Runs(runs).predictions()
    yield "Verdicts per line", line_verdicts(run)
    yield "Durations", tally_durations(runs)
    found = ip.reconcile(run, sample=5, settings=settings)
    for name in ("sums", "differences", "winners"):
        yield f"Reconciliation.{name}", getattr(found, name)
    checked = verify_gallery(runs, settings, sample=5, progress=False)
    for name in ("asked", "differences", "settled"):
        yield f"Verification.{name}", getattr(checked, name)
    found = findability(runs, settings, sample=5, progress=False)
    yield "Findability.images", found.images.loc[:, :"chroma"]
    yield "Findability.pairs", found.pairs
    batch = run.batch[run.batch["PicName"].isin(run.outcome.query("outcome == 'imported'")["PicName"])].head(2)
    yield "What if", what_if(batch, images, settings, regions={}, progress=False)
    seen = service_regions(batch, images, settings, regions={}, progress=False)
    yield "Service's regions", seen
    yield "Drawings saved", tally_drawings_saved(seen)
    story = ip.trace(run.batch["ProductId"].iloc[0], settings)
    yield "Trace.events", story.events
    yield "Trace.gallery", story.gallery
    month = ip.review(runs)
    for name in ("funnel", "coverage", "backlog", "findable", "sources", "better", "searched", "findings"):
        yield f"Review.{name}", getattr(month, name)
    yield "Questions", plan_calibration(settings).questions
    yield "Answers", pd.DataFrame(columns=list(ANSWER_COLUMNS), dtype="str")


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    shop = ip.open_project()
    catalogue = shop.load()
    facts = shop.inspect(catalogue, progress=False)
    found = dict(load_and_look(shop, catalogue, facts)) | dict(draw_and_plan(shop, catalogue, facts))
    with ip.Sandbox(task_seconds=0, throttle=False) as sandbox:
        settings = sandbox.settings.with_(project=tmp_path_factory.mktemp("shop"))
        folder = settings.project / "batch"
        built = ip.build_batch(catalogue.head(ROWS), shop.images, folder, keep_refused=True, progress=False)
        log = ip.upload(built.folder, None, settings, progress=False)
        run = ip.submit(built.folder, settings, runs=settings.runs, progress=False).follow(progress=False)
        found |= dict(ship([run], settings, log, folder / "images"))
    return found


def described():
    """Return frame → column → (type, meaning), as the page lists them."""
    page = re.split(r"^##+ (.+)\n", PAGE.read_text(encoding="utf-8"), flags=re.M)
    tables = {}
    for title, text in zip(page[1::2], page[2::2], strict=True):
        tables[title] = {}
        for column, dtype, meaning in re.findall(r"^\| (`\S+`|…) \| (\S*) ?\| .*?\| ?(.+) \|$", text, re.M):
            more = {column.strip("`"): (dtype, meaning)}
            if column == "…":
                rest = tables["Fields of increment.meta"].items()
                more = {name: (dtype or own, about) for name, (own, about) in rest if name not in tables[title]}
                more.pop("OperationType", None)
            tables[title] |= more
    return tables


def test_the_page_lists_the_columns_and_types_of_every_frame(frames):
    page = described()
    for title, frame in frames.items():
        listed = {name: dtype for name, (dtype, _) in page[title].items()}
        assert set(listed) == set(frame.columns), title
        # A frame without rows may not know its types.
        known = {name: str(dtype) for name, dtype in frame.dtypes.items() if len(frame) or str(dtype) != "object"}
        assert {name: listed[name] for name in known} == known, title
    assert {title for title, table in page.items() if table} == {*frames, "Fields of increment.meta"}


def test_the_page_gives_fields_and_facts_as_the_code_defines_them():
    page = described()
    fields = {field.name: (field.dtype, field.meaning) for field in FIELDS}
    assert page["Fields of increment.meta"] == fields
    assert {name: meaning for name, (_, meaning) in page["Facts"].items()} == FACT_MEANING
