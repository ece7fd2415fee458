"""Panels, pages and labels in the project's language: every text has an entry, and no entry is left over."""

import ast
import re
import string
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from jinja2 import nodes

import imgprep
from imgprep.core.errors import ConfigError
from imgprep.core.fields import CATEGORIES, FIELD_NAMES, FIELDS, SEARCH_CATEGORY
from imgprep.core.findings import Severity
from imgprep.core.language import display_language, texts
from imgprep.core.settings import LANGUAGES, Settings
from imgprep.draw.annotator import saving, still
from imgprep.draw.annotator.widget import CLOSED, NO_MATCH
from imgprep.draw.store import ELSEWHERE, HOWS, OUTSIDE
from imgprep.fix.convert import CHANGES
from imgprep.images.found import NO_FILE, Problem
from imgprep.images.thumbnails import EMPTY
from imgprep.load import mapping_panel, presets
from imgprep.load.drift import COLLAPSED, GONE, TOTALS
from imgprep.load.matches import AMBIGUOUS, CHOSEN, IGNORED, MATCHED, SET_ASIDE, UNMATCHED
from imgprep.look.findings_panel import _GROUPS
from imgprep.look.match_panel import MatchPanel
from imgprep.look.rules.book import _SUBJECTS, NOT_SENT, RULES, check, title
from imgprep.look.rules.rule import plain
from imgprep.meta.rules import META_RULES
from imgprep.outcomes import retry, review, tallies
from imgprep.outcomes.asking import SANDBOX_NOTE
from imgprep.outcomes.cause_explorer import (
    _FILTERS,
    _NAMES,
    _TO_CHECK,
    END_UNKNOWN,
    NO_FOLDER,
    NOT_SHOWN,
)
from imgprep.outcomes.cause_explorer import NOT_THERE as NO_FOLDER_HAS_IT
from imgprep.outcomes.findability import REMEDIES
from imgprep.outcomes.reconcile import OVERLAP
from imgprep.outcomes.trace import _answer
from imgprep.outcomes.verify import AS_SENT, NOT_THERE, _sentence
from imgprep.plan import model, preview
from imgprep.ship import preflight
from imgprep.ship.gallery import HELD
from imgprep.ship.report.causes import CAUSES, OWNERS, UNKNOWN_CAUSE, Family
from imgprep.ship.report.match import Outcome
from imgprep.ship.task_status import LOST, NOTES, OVERDUE, STRANGE, State, note_of
from imgprep.shop import _TEMPLATE
from imgprep.show import tables
from imgprep.show.charts import findability, images, outcomes, plans, regions
from imgprep.show.contact_sheet import _TIES
from imgprep.show.feedback import FOR_PHOTOGRAPHERS
from imgprep.show.tables import table_html
from imgprep.show.template import _environment

PACKAGE = Path(imgprep.__file__).parent
KEPT = (*NOTES.values(), OVERDUE, STRANGE, LOST, OUTSIDE, ELSEWHERE, NO_MATCH, CLOSED)
KEPT += (NO_FOLDER_HAS_IT, NO_FOLDER, NOT_SHOWN, MATCHED, AMBIGUOUS, UNMATCHED, CHOSEN, SET_ASIDE, IGNORED)
KEPT += (saving.SETTLED, saving.NOT_READ, saving.OTHER_SIZE, saving.CHANGED)
DICTIONARY = Path(__file__).parents[3] / "docs" / "data.md"
TABLE = PACKAGE / "core" / "zh.toml"


def constants(node):
    """Return the texts that an argument may be: a string, or one of several in a conditional expression."""
    if isinstance(node, ast.Constant | nodes.Const):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.IfExp):
        return constants(node.body) + constants(node.orelse)
    if isinstance(node, nodes.CondExpr):
        return constants(node.expr1) + constants(node.expr2)
    return []


def in_python(file):
    for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call) or not call.args:
            continue
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        if name in ("t", "_t"):
            yield from constants(call.args[0])
        if name == "Check" and len(call.args) > 3:
            yield from filter(None, constants(call.args[3]))  # the remedies of `preflight`
        owner = getattr(call.func, "value", None)
        if name == "counted" and getattr(owner, "attr", getattr(owner, "id", "")) in ("t", "_t"):
            yield from (f"{{count}} {noun}" for noun in constants(call.args[1]))


def in_template(file):
    tree = _environment("en").parse(file.read_text(encoding="utf-8"))
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "t":
            yield from constants(call.args[0])
    for counted in tree.find_all(nodes.Filter):
        if counted.name == "counted":
            yield from (f"{{count}} {noun}" for noun in constants(counted.args[0]))


def in_javascript(file):
    for quote, text in re.findall(r"""\bt\((["'`])(.*?)(?<!\\)\1""", file.read_text(encoding="utf-8")):
        yield text.replace("\\" + quote, quote)


READERS = {".py": in_python, ".html": in_template, ".mjs": in_javascript}


def headings():
    """Return the key of the heading of every column in the data dictionary, other than the fields of increment.meta."""
    listed = re.findall(r"^\| (`.*?`) \|", DICTIONARY.read_text(encoding="utf-8"), re.M)
    columns = {name for names in listed for name in re.findall("`(.*?)`", names)} - {*tables._INTERNAL}
    own = columns - {*FIELD_NAMES} | {
        *tables._HEADERS,
        "first_category",
        "problems",
        "size",
    }  # of Findability.by, of FindingsBrowser
    yield from ("column runs", "column open", "column first (dates)", "column last (dates)")  # of causes' spans
    yield "column taken by"  # of the month's page
    yield from (f"column {tables._HEADERS.get(name, name.replace('_', ' '))}" for name in own)


def texts_of_charts():
    yield from (text for texts in images._CHARTS.values() for text in texts)
    yield from ("images", "products", "(not read)", "empty", "square", "beyond 1:3", "beyond 3:1")
    yield from (label for label, _, _ in findability._WAYS.values())
    yield from (*outcomes._CHANGES, outcomes._AS_PREDICTED, *list(outcomes._VERDICTS), "the shop's own", *OVERLAP)
    yield from (label for _, label in outcomes._FORMS)
    yield from (*plans._WHO, *plans._WHO.values(), *(text for texts in plans._ACTS.values() for text in texts))
    yield from (*plans._ACTIONS, "predicted", "category", "reason")
    yield from (*TOTALS, GONE, COLLAPSED, "products new", "column", "category", "none", "images")
    yield from ("same", "changed", "new", "vanished", "emptied", "thinned")
    yield from (*regions._FATES, *regions._ORDERS.values(), regions._OPEN)


#: What fills in f-strings of the code: details of events, reasons, evidence of matches, remedies of `preflight`.
DETAILS = (
    "row {row} of the export",
    "line {line}, {operation}: {reason}; kept from the gallery: {fields}",
    "line {line}, {operation}: {reason}",
    "held, with {fields}",
    "ignored: {fields}",
    "changed since: {fields}",
    "the catalogue names it, for {count} products",
    "pattern {pattern}, in another spelling",
    "pattern {pattern}, one character off",
    "pattern {pattern}",
    "{column} found in the file name",
    "the same file as {name}",
    "the same image as {name}",
    "looks like {name}, {bits} bits apart",
    "it has the columns {columns}",
    f"allow oss:ListObjects on {{resource}}; {preflight._REMEDY}",
    f"allow oss:GetObject on {{resource}}; {preflight._REMEDY}",
    "save the document from the RAM console, and name the file in imgprep.toml: {key}",
)


def texts_in_cells():
    yield from (*CHANGES.values(), *model._WHAT, model.WAITS_FOR_IMAGES, model.WAITS_FOR_EXPORT, model.STAYS)
    yield from ("exported", "sent", "asked", "gone", "not held", "reason not recorded", preflight._REMEDY)
    yield from ("planned", "uploaded", "copied", "referenced", "unchanged", "missing")
    yield from ("reason new", "reason unknown", "reason asked", "reason region")
    yield from ("other value", "imported but not there", "deleted but there", "there but not sent")
    yield from (
        "the catalogue names it",
        "no pattern matches, and no earlier image looks like this file",
        "by a person",
    )
    yield from ("no image extension", "; or ", presets.Plain().recognise(None), "as requested")
    yield "its columns are the fields of increment.meta"
    yield "HEIC, which the service does not accept: prepare_images converts it to JPEG"
    yield "HEIC, which cannot be read here: install pillow-heif, or set the camera to JPEG"


def texts_in_tables():
    """Return what is looked up by a variable: titles, remedies and labels in tables of the code."""
    for rule in (*RULES, *META_RULES):
        yield from (rule.what, plain(rule.remedy), getattr(rule, "where_url", ""))
    yield from NOT_SENT.values()
    for cause in (*CAUSES, UNKNOWN_CAUSE):
        yield from (cause.label, cause.remedy)
    for pair in (*OWNERS.values(), *FOR_PHOTOGRAPHERS.values()):
        yield from pair
    yield from (*_TIES.values(), "no reason found", *filter(None, REMEDIES), *REMEDIES.values())
    yield from (*_NAMES.values(), *_FILTERS, END_UNKNOWN, *_TO_CHECK)
    yield from (*CATEGORIES.values(), *_SUBJECTS.values(), "rows", "export", "(none)")
    yield from (
        *review.STAGES,
        *review._AGES,
        *review._MEASURES,
        review.NOT_ASKED,
        SANDBOX_NOTE,
        tallies._SANDBOX_CATEGORIES,
    )
    yield from _GROUPS.values()
    yield from (*still._STATES.values(), *HOWS, *(field.meaning for field in FIELDS), SEARCH_CATEGORY)
    yield from (mapping_panel._UNUSED, mapping_panel._KEPT, mapping_panel._CLEARED, mapping_panel._BY_SERVICE[0])
    yield from (mapping_panel._NO_PROJECT, mapping_panel._NO_IMAGES, "the category's own name")
    yield from (*headings(), *texts_of_charts(), *KEPT, *retry._WHY.values())
    yield from (
        *texts_in_cells(),
        *DETAILS,
        "OSError",
        "image file is truncated ({count} bytes not processed)",
    )  # Pillow's
    yield from (f"{{count}} {unit}" for unit in preview._UNITS)
    yield from (*Family, *Severity, *Outcome, *State, EMPTY, NO_FILE, "leave it out", 'use "{value}"')


def texts_that_exist_in_english(files):
    """Return the entries of the tables for them whose every part is in a string of the code."""
    trees = [ast.walk(ast.parse(file.read_text(encoding="utf-8"))) for file in files if file.suffix == ".py"]
    literals = "\n".join(
        str(node.value)
        for tree in trees
        for node in tree
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    words = {*tables._WORDS, *(name for _, names in tables._OWN_WORDS for name in names)}
    parts = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    for english in (*parts["notes"], *parts["cells"], *parts["preflight"], *parts["counts"]):
        column, _, rest = english.partition(" ")
        own = rest if column in words else english
        parts_of = re.split(r"\{\w+\}", own.removeprefix("{count} "))
        if all(part.strip() in literals for part in parts_of) or own.replace(" ", "_") in [*Problem]:
            yield english


@pytest.fixture(scope="module")
def wanted():
    files = [file for file in PACKAGE.rglob("*.*") if file.suffix in READERS and "shipped" not in file.parts]
    found = {str(text) for file in files for text in READERS[file.suffix](file)} | set(filter(None, texts_in_tables()))
    return found | set(texts_that_exist_in_english(files))


def entries():
    tables = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return [(english, text) for table in tables.values() for english, text in table.items()]


def test_every_title_remedy_cause_and_text_has_an_entry(wanted):
    assert sorted(wanted - {english for english, _ in entries()}) == []


def test_no_entry_is_unused_or_repeated(wanted):
    keys = [english for english, _ in entries()]
    assert sorted(set(keys) - wanted) == []
    assert len(keys) == len(set(keys))


def names_in(text):
    return {re.split(r"[.:]", name)[0] for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_entries_fill_in_what_their_english_does_and_use_full_width_signs():
    assert [english for english, text in entries() if not text.strip() or names_in(english) != names_in(text)] == []
    half = re.compile(r"[\u4e00-\u9fff][,;:?!(]|[,;:?!][\u4e00-\u9fff]")
    assert [text for _, text in entries() if half.search(text)] == []


def test_remedies_of_rules_name_no_values_so_that_findings_repeat_them_word_for_word():
    for rule in RULES:
        assert not [name for _, name, _, _ in string.Formatter().parse(rule.remedy) if name], rule.id


def test_the_language_comes_from_the_project_or_the_environment(tmp_path, monkeypatch):
    assert display_language(tmp_path) == "en"
    (tmp_path / "imgprep.toml").write_text('language = "zh"\n[shop]\npreset = "plain"\n', encoding="utf-8")
    inner = tmp_path / "imgprep-work" / "runs"
    inner.mkdir(parents=True)
    assert display_language(inner) == Settings.load(tmp_path).language == "zh"
    monkeypatch.chdir(inner)
    assert display_language() == "zh"
    monkeypatch.setenv("IMGPREP_LANGUAGE", "en")
    assert display_language() == "en"


def test_the_project_opened_last_decides_and_panels_keep_their_language(tmp_path, monkeypatch):
    for name, language in (("zh", "zh"), ("en", "en")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "imgprep.toml").write_text(f'language = "{language}"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path / "en")
    shop = imgprep.open_project(tmp_path / "zh")
    found = shop.check(pd.DataFrame({"ProductId": ["1"], "PicName": ["/a.jpg"], "CustomContent": [None]}))
    assert "严重程度" in found._repr_html_() and "严重程度" in repr(found)
    assert imgprep.plot_findings(found).get_title() == "商品表 1 行，有 2 个错误需要修正：imgprep 1 个，店铺 1 个"
    panel = imgprep.FindingsBrowser(found)
    imgprep.open_project(tmp_path / "en")
    assert imgprep.plot_findings(found).get_title() == "2 errors in 1 row to correct: 1 for imgprep, 1 for the shop"
    assert "severity" in found._repr_html_()
    panel._grid.opened = 0
    assert "严重程度" in panel._opened.details.value and "没有指定图片文件夹" in panel._opened.details.value
    assert panel._rules.groups[0]["rules"][0][3] == title(panel._rules.groups[0]["rules"][0][0], texts("zh"))
    panel.clear_filters()
    assert "条发现中的" in panel._repr_mimebundle_()["text/html"]
    imgprep.open_project(tmp_path / "en", language="zh")
    assert display_language(tmp_path / "en") == "zh"


def test_results_in_words_and_notes_of_runs_are_in_the_language(demo_runs, monkeypatch):
    monkeypatch.setenv("IMGPREP_LANGUAGE", "zh")
    t, run = texts("zh"), demo_runs[0]
    sentences = [run.sentence, imgprep.Runs(demo_runs).sentence, run.retry().sentence, imgprep.reconcile(run).sentence]
    assert [text for text in sentences if re.search("[a-z]", text.replace("demo", ""))] == []
    for note in (note_of(State.FAILED, "FAIL"), note_of(State.CANCELLED, "STOPPED"), note_of(State.UNKNOWN, "HM")):
        assert t.kept(note).startswith("任务") and texts().kept(note) == note
    assert "STOPPED" in t.kept(note_of(State.CANCELLED, "STOPPED"))
    assert t.kept("not one of the notes") == "not one of the notes"
    slashes = "{} began with a slash, which stands for the image folder; the slash was removed"
    assert t.kept(slashes.format("2 names")) == "2 个名称以斜杠开头，斜杠代表图片文件夹；已去掉"
    assert t.kept(slashes.format("1 name")).startswith("1 个名称") and texts().kept(slashes) == slashes


def test_a_heading_has_the_meaning_of_its_table(demo_runs):
    html = table_html(imgprep.Runs(demo_runs).cause_spans(), language="zh")
    assert all(f">{title}<" in html for title in ("首次出现", "最近出现", "运行数", "尚未解决"))
    assert "排在第一" not in html and "上次导出" not in html
    assert texts("zh").heading("first") == "排在第一" and texts("zh").heading("last") == "上次导出"


@pytest.mark.parametrize(
    ("column", "english", "chinese"),
    [
        ("what", "unchanged", "无变化"),
        ("way", "imported → failed", "已导入 → 失败"),
        ("outcome", "sent", "已发送"),
        ("reason", "no category at search", "搜索时没有类目"),
        ("reason", "new", "新图片"),
        ("reason", "image, IntAttr", "图片，IntAttr"),
        ("difference", "imported but not there", "已导入但不在图库里"),
        ("change", "scaled down", "缩小"),
        ("detail", "E1 · sides out of range · text, new", "E1 · 边长超出范围 · text, new"),
        ("detail", "line 3, ADD: new; kept from the gallery: Crop", "第 3 行，ADD：新图片；沿用图库中的值：Crop"),
        ("detail", "line 3, ADD: image, IntAttr", "第 3 行，ADD：图片，IntAttr"),
        ("detail", "20,40,60,80, drawn by Ann", "20,40,60,80，Ann（手动框选）"),
        ("action", "converted", "已转换"),
        (
            "reason",
            "CMYK to RGB, first of 3 frames, scaled from 9 × 9",
            "CMYK 转为 RGB，取 3 帧中的第一帧，从 9 × 9 缩小",
        ),
        ("reason", "not an image: PDF, not an image", "不是图片：PDF，不是图片"),
        ("answer", "there with another record", "在图库里，但内容不同"),
        ("problem", "no file with this name", "没有这个名称的文件"),
        ("problem", "not_an_image", "不是图片"),
        ("check", "no task running", "没有任务在运行"),
        ("result", "warn", "警告"),
        ("why", "shops call it 'sku'; 100% filled, 98% different", "店铺常用列名 'sku'；100% 已填写，98% 互不相同"),
        ("message", "2 names began with a slash", "2 names began with a slash"),
        ("how", "ProductId found in the file name", "文件名中含有 ProductId"),
        ("remedy", "renew the instance", "续费实例"),
        (
            "remedy",
            "allow oss:GetObject on a; " + preflight._REMEDY,
            "授予对 a 的 oss:GetObject 权限；`imgprep policy` 会输出正确的策略",
        ),
        ("PicName", "sent", "sent"),
    ],
)
def test_cells_are_translated_by_their_column(column, english, chinese):
    assert tables._cell(column, english, {}, texts("zh")) == chinese
    assert tables._cell(column, english, {}, texts()) == english


@pytest.mark.parametrize("column", ["reason", "expected", "detail"])
def test_ids_of_rules_in_a_cell_are_titles(column):
    ids = "image-missing, left-out-by-where"
    assert tables._cell(column, ids, {}, texts("zh")) == "图片缺失；按商品表的条件（where）不处理这一行"
    english = "the image is missing; the condition of the catalogue (where) leaves the row out"
    assert tables._cell(column, ids, {}, texts()) == english


def test_evidence_of_matches_and_the_answer_of_a_trace_are_translated():
    t = texts("zh")
    how = "P-1: pattern {ProductId}_{n}; the same file as a.jpg; or P-2: ProductId found in the file name"
    record = pd.Series({"state": AMBIGUOUS, "how": how})
    chinese = "P-1：模式 {ProductId}_{n}；与 a.jpg 是相同的文件；或 P-2：文件名中含有 ProductId"
    assert MatchPanel._how(SimpleNamespace(_t=t), record) == chinese
    assert MatchPanel._how(SimpleNamespace(_t=texts()), record) == how
    failed = {"what": "failed", "run": "r", "PicName": "a.jpg", "detail": "E1 · sides out of range"}
    held = pd.DataFrame(columns=["state", "PicName"])
    assert "a.jpg 失败：E1 · 边长超出范围" in _answer(pd.DataFrame([failed]), held, "g", t)
    assert "a.jpg failed: E1 · sides out of range" in _answer(pd.DataFrame([failed]), held, "g", texts())


def test_the_result_of_a_sample_is_one_sentence_in_either_language(monkeypatch):
    asked = pd.DataFrame({"state": [HELD] * 3, "answer": [AS_SENT, AS_SENT, NOT_THERE]})
    result = "with 95% confidence, between 20.0% and 90.0% of 8 images are there as sent (3 were checked, 1 differ)"
    assert _sentence(asked, 0, 8, (0.2, 0.9), 0.95) == result
    monkeypatch.setenv("IMGPREP_LANGUAGE", "zh")
    result = "置信度 95% 时，8 张图片中有 20.0% 至 90.0% 与发送的一致（检查了 3 张，1 张不同）"
    assert _sentence(asked, 0, 8, (0.2, 0.9), 0.95) == result


def test_an_unknown_language_is_refused_and_named_where_it_is_set(tmp_path):
    (tmp_path / "imgprep.toml").write_text('[shop]\nlanguage = "zh-CN"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"'zh-CN'.*did you mean zh\?; known: en, zh.*IMGPREP_LANGUAGE"):
        Settings.load(tmp_path)
    assert display_language(tmp_path) == "en"  # displays still work


def test_the_file_of_a_new_project_names_the_language():
    assert tomllib.loads(_TEMPLATE.replace("# language", "language", 1))["language"] in LANGUAGES


def test_a_table_translates_titles_and_remedies_and_leaves_the_frame_alone():
    found = check(pd.DataFrame({"ProductId": ["1"], "PicName": ["/a.jpg"], "CustomContent": [None]}))
    before = found.copy()
    html = table_html(found, language="zh")
    for text in ("错误", title("pic-name-slash", texts("zh")), "（pic-name-slash）", "改为“a.jpg”", "未显示的列："):
        assert text in html
    pd.testing.assert_frame_equal(found, before)
    assert "错误" not in table_html(found, language="en")
