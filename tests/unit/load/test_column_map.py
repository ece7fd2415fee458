"""Column maps: how templates, look-ups and constants make fields, and how a map is saved into imgprep.toml."""

import json
import re
import tomllib

import pytest
from exports_made import load

from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.core.settings import Settings
from imgprep.load.column_map import save_columns
from imgprep.shop import init_project

TITLE = "a, b: c\\d"


def content(tmp_path, **entry):
    """The CustomContent of an export with one odd title."""
    text = f'sku,image,title,price\n1,a.jpg,"{TITLE}",5\n'
    return load(tmp_path, text, columns={"CustomContent": entry})["CustomContent"].item()


def test_a_value_with_separators_is_escaped_and_can_be_separated_again(tmp_path):
    text = content(tmp_path, template="title:{title},price:{price}")
    values = re.fullmatch(r"title:((?:[^,:\\]|\\.)*),price:((?:[^,:\\]|\\.)*)", text).groups()
    assert [re.sub(r"\\(.)", r"\1", value) for value in values] == [TITLE, "5"]


def test_quoting_replaces_separators_or_writes_json_where_it_is_asked_for(tmp_path):
    template = "title:{title},price:{price}"
    assert content(tmp_path, template=template, quoting="replace") == "title:a， b： c\\d,price:5"
    assert json.loads(content(tmp_path, template=template, quoting="json")) == {"title": TITLE, "price": "5"}


def test_doubled_braces_are_braces_and_a_template_without_a_column_is_a_constant(tmp_path):
    assert content(tmp_path, template="{{{price}}}") == "{5}"
    assert content(tmp_path, template="always the same") == "always the same"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"template": "{title} {price}"}, "only letters or spaces separate two values"),
        ({"template": "{title},{title}", "quoting": "json"}, "two values have the same key"),
        ({"template": "{title}", "quoting": "jsn"}, "quoting 'jsn' is unknown"),
        ({"column": "title", "value": "x"}, "must have one of column, value and template"),
        ({"column": "title", "scale": "much"}, "must be a number such as 100"),
        ({"column": "title", "rounding": "up"}, "must be one of half-even, half-up, down"),
        ({"column": "title", "decimal": ";"}, 'must be "." or ","'),
        ({"column": "title", "map": ["x"]}, "map must be a table"),
        ({"column": "title", "colour": "red"}, "unknown option 'colour'; did you mean column"),
    ],
)
def test_an_entry_that_cannot_be_applied_is_refused_with_its_rule(tmp_path, entry, message):
    with pytest.raises(CatalogueError, match=message):
        content(tmp_path, **entry)


def test_a_saved_map_keeps_the_comments_of_unchanged_entries(project):
    columns = {
        "ProductId": "sku",
        "PicName": "image",
        "CategoryId": {"column": "type", "map": {"Shirts": 0, "Hand bags": 3}},
        "IntAttr": {"column": "price", "scale": 100},
    }
    text = save_columns(columns, project).read_text(encoding="utf-8")
    kept = ["# Our shop.", "# every Monday", '"sku"           # the ERP has no sku', "# asked the boss", "# production"]
    assert [part for part in kept if part not in text] == []
    assert tomllib.loads(text)["shop"]["columns"] == columns and "goes away" not in text
    assert tomllib.loads(text)["service"] == {"instance": "shop"}
    assert Settings.load(project).columns == columns
    assert save_columns(columns, project).read_text(encoding="utf-8") == text, "saving twice changes nothing"


def test_a_fresh_project_file_takes_a_map(tmp_path, export):
    init_project(tmp_path)
    map_ = {"ProductId": "sku", "CategoryId": {"column": "type", "map": {f"Kind {n}": n for n in range(9)}}}
    save_columns(map_, tmp_path)
    assert Settings.load(tmp_path).columns == map_


def test_an_invalid_map_is_not_written(project):
    before = (project / "imgprep.toml").read_bytes()
    for wrong in ({"ProductID": "sku"}, {"IntAttr": {"column": "price", "scle": 3}}, {"IntAttr": 1.5}):
        with pytest.raises(ConfigError):
            save_columns(wrong, project)
    with pytest.raises(ConfigError, match="imgprep init"):
        save_columns({"ProductId": "sku"}, project / "nowhere.toml")
    assert (project / "imgprep.toml").read_bytes() == before
