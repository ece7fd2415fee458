"""Panels and displays of a project in Chinese: a person reads no English there but data and names."""

import re
from html import unescape

import pandas as pd
import pytest

import imgprep as ip
from imgprep.cloud.imagesearch import Task
from imgprep.core import language
from imgprep.core.fields import FIELD_NAMES
from imgprep.core.settings import Settings
from imgprep.core.text import shown
from imgprep.load.suggestions import suggest_categories
from imgprep.look.tallies import tally_attributes
from imgprep.outcomes.verify import AS_SENT, GONE, NOT_THERE, OTHER_RECORD, STILL_THERE
from imgprep.ship import preflight
from imgprep.ship.panel import Progress, panel_html
from imgprep.ship.task_status import NOTES, OVERDUE
from imgprep.show.tables import table_html


def _words(text):
    return re.findall(r"[A-Za-z](?:[\w.']*[A-Za-z])?", text)


#: What stays as it is: products, formats, standards, units, and what is typed or stored under this name.
NAMES = {
    *FIELD_NAMES,
    *_words("imgprep OSS RAM Bucket ARN API ID IoU EXIF JPEG PNG GIF BMP TIFF WEBP HEIF HEIC ICO HTML MPO CMYK RGB"),
    *_words(
        "I MAR1 off bmp gif jpeg jpg png ppm tif tiff webp pillow heif KB MB ADD DELETE SUCCESS true false x y sRGB"
    ),
    *_words("imgprep.toml increment.meta browser.fixed browser.fixes apply_fixes prepare_images column scale price"),
    *_words("plain half even sandbox temporary service oss policy role_policy role_trust decode header strict Detail"),
}
#: Commands, rules' ids in brackets, paths and ids of runs, file names, names of columns that are not displayed.
_STORED = re.compile(
    r"`[^`]*`|imgprep [a-z]+|（[a-z]+(?:-[a-z]+)+）|[\w./:-]+[-/:][\w./:*-]+|\S+\.(?:jpg|csv)\b|未显示的列：.*"
)


class Reader:
    """Finds English in what is displayed of some frames: their contents are data."""

    def __init__(self, *frames):
        values = {str(name) for frame in frames for name in frame.columns}
        values |= {name.replace("_", " ") for name in values}
        for frame in frames:
            values.update(*(frame[name].dropna().astype("str").unique() for name in frame.columns))
        values |= {line for value in values for line in value.splitlines()}
        values |= {shown(value, limit) for value in values for limit in (80, 160, 302, 400, 600, 5000)}
        self._texts = sorted((value for value in values if " " in value and _words(value)), key=len, reverse=True)
        self._words = NAMES.union(*(_words(value) for value in values if " " not in value))

    def english(self, html):
        """Return the displayed lines with words that are neither data nor names."""
        text = unescape(re.sub(r"(?s)<style.*?</style>|<[^>]*>", "\n", str(html)))
        lines = {line.strip() for line in text.splitlines() if not self._words.issuperset(_words(line))}
        return sorted(line for line in lines if not self._words.issuperset(_words(self._own(line))))

    def _own(self, line):
        if line.endswith("…"):  # a long text is cut
            line = "" if any(value.startswith(line[:200]) for value in self._texts) else line
        for value in self._texts:
            line = line.replace(value, " ")
        return _STORED.sub(" ", line)


@pytest.fixture(scope="module")
def shop():
    return ip.open_project(week=2, language="zh")


@pytest.fixture(autouse=True)
def in_chinese():
    language.use_language("zh")


@pytest.fixture(scope="module")
def catalogue(shop):
    return shop.load()


@pytest.fixture(scope="module")
def facts(shop, catalogue):
    return shop.inspect(catalogue, progress=False)


def test_the_findings_browser(shop, catalogue, facts):
    found = shop.check(catalogue, facts)
    browser = ip.FindingsBrowser(found, shop.images, catalogue=catalogue)
    pages = [browser._repr_mimebundle_()["text/html"]]
    for rule in found["rule"].unique():
        browser.filter(rule=rule)
        browser._grid.opened = browser._grid.cards[0]["id"]
        pages.append(browser._opened.details.value)
    browser._preview_fixes()
    pages.append(browser._opened.details.value)
    messages = found[["rule", "message", "value", "ProductId", "PicName"]]
    assert Reader(catalogue, messages).english("\n".join(pages)) == []


def test_the_mapping_panel_and_suggested_columns_and_categories(shop, catalogue):
    panel = ip.MappingPanel(shop)
    panel.choose("PicName", "title")  # a column without images
    columns, categories = ip.suggest_columns(catalogue), suggest_categories(catalogue, "type")
    pages = [panel._repr_mimebundle_()["text/html"], table_html(columns), table_html(categories)]
    words = pd.DataFrame({"word": categories["why"].str.extract(r"'(.*?)'")[0]})
    assert Reader(catalogue, columns[["column", "example"]], words).english("\n".join(pages)) == []


def test_tables_of_findings_attributes_images_and_duplicates(shop, catalogue, facts):
    found = shop.check(catalogue, facts)
    changes = ip.apply_fixes(catalogue, found)[1]
    drift = ip.compare_exports(shop.load_earlier(catalogue), catalogue)
    attributes, tallies = tally_attributes(catalogue), ip.tally_images(facts, catalogue).values()
    frames = [found, ip.tally_rules(found), changes, drift, attributes, ip.find_duplicates(facts, catalogue), *tallies]
    html = "".join(table_html(frame, visible=len(frame)) for frame in frames)
    data = [found[["message", "value", "rule"]], changes[["before", "after", "rule"]], drift[["name"]]]
    assert Reader(catalogue, facts[["format"]], attributes[["common"]], *data).english(html) == []


def test_the_match_panel(shop, catalogue):
    named = catalogue.drop_duplicates("ProductId").tail(20)
    matches = ip.match_files(shop.images, named.assign(PicName=None))
    panel = ip.MatchPanel(matches, shop.images, named)
    some = matches.groupby("state").head(2)
    html = panel._repr_mimebundle_()["text/html"] + table_html(some)
    assert Reader(catalogue, matches[["file"]]).english(html) == []


def test_the_annotator(shop, catalogue, tmp_path):
    found = ip.RegionAnnotator(catalogue.head(4), shop.images, tmp_path / "regions.sqlite")
    assert Reader(catalogue).english(found._repr_mimebundle_()["text/html"]) == []


def test_the_cause_explorer_and_the_table_of_causes(shop, demo_runs):
    run = demo_runs[0]
    explorer = ip.CauseExplorer(run, shop.images)
    pages = [explorer._repr_mimebundle_()["text/html"], table_html(run.causes())]
    for cause in explorer._failed.causes["cause"]:
        explorer.show(cause)
        pages += [explorer._parts.record.value, explorer._parts.picture.value, explorer._parts.remedy.value]
    explorer.decide("retry")
    reported = run.outcome[["message", "code", "raw"]]
    data = (run.catalogue, run.batch, run.findings[["rule", "message"]], reported, run.facts[["format", "mode"]])
    assert Reader(*data).english("\n".join(map(str, [*pages, explorer._parts.decided.value]))) == []


def test_the_history_of_a_product_and_the_month(demo_runs):
    run = demo_runs[0]
    failed = run.outcome.loc[run.outcome["outcome"].eq("failed"), "ProductId"].iloc[0]
    pages = [ip.trace(failed, run.folder.parent)._repr_html_(), ip.Runs(demo_runs).review("2026-09")._repr_html_()]
    data = (run.catalogue, run.batch[["CustomContent"]], run.outcome[["message", "code"]])
    assert Reader(*data, pd.DataFrame({"run": [run.id for run in demo_runs]})).english("\n".join(pages)) == []


def test_the_pages_of_a_run_and_for_photographers(shop, catalogue, facts, demo_runs, tmp_path):
    run = demo_runs[0]
    pages = [run.report(tmp_path / "run.html", images=shop.images), shop.feedback(shop.check(catalogue, facts)).path]
    found = (run.findings[["message"]], run.outcome[["message", "code"]], run.batch[["PicName"]])
    data = (
        catalogue,
        run.catalogue,
        *found,
        pd.DataFrame({"text": [run.id, "UTC", "imgprep-demo", "/increment", run.message]}),
    )
    html = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert Reader(*data).english(html) == []


def test_the_prepare_log_and_the_answers_of_verify(shop, facts, tmp_path):
    log = ip.prepare_images(facts, shop.images, tmp_path / "ready", dry_run=True, progress=False)
    answers = [AS_SENT, GONE, NOT_THERE, OTHER_RECORD, STILL_THERE]
    asked = pd.DataFrame({"PicName": "a.jpg", "state": "held", "answer": answers, "fields": "StrAttr"})
    problems = facts.loc[facts["problem"].notna(), ["PicName", "problem", "detail"]]
    html = table_html(log, visible=len(log)) + table_html(asked) + table_html(problems, visible=len(problems))
    assert Reader(log[["PicName", "new_name", "digest", "source_digest"]]).english(html) == []


def test_preflight(shop, catalogue, tmp_path):
    built = shop.build(catalogue.head(6), tmp_path / "batch", progress=False)
    with ip.Sandbox(task_seconds=0) as sandbox:
        checks = preflight.preflight(sandbox.settings, built.folder)
    odd = Settings(bucket="Shop_1", path="increment", role_arn="acs:ram::1:user/x")
    forms = pd.DataFrame(list(preflight._forms(odd)))
    data = pd.DataFrame({"value": ["Shop_1", "acs", "ram", "demo", "product", "user", "increment", "ACCOUNT", "role"]})
    assert Reader(catalogue, data).english(table_html(checks, visible=len(checks)) + table_html(forms)) == []


def test_the_run_panel():
    task = Task("t-1", "PROCESSING", "", "")
    notes = [None, *NOTES.values(), OVERDUE.format(task="t-1", since="10:00", estimate="10")]
    running = [panel_html(task, "demo", 70, note=note, progress=Progress(estimate=90.0)) for note in notes]
    counts = {"lines": 9, "imported": 4, "deleted": 1, "failed": 3, "unknown": 1}
    ended = [
        panel_html(task, "demo", 70, waiting=True, progress=Progress(counts, state)) for state in ("partial", "failed")
    ]
    data = pd.DataFrame({"name": ["demo", "status", "UTC", "PROCESSING", "t-1"]})
    assert Reader(data).english("\n".join([*running, *ended])) == []
