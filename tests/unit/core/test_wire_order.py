"""The wire order of a region is spelled in one module, and columns of regions are treated like single ones."""

import ast
import random
from pathlib import Path

import polars as pl
import pytest

import imgprep
from imgprep.core.regions import EDGES, WIRE_ORDER, Region, RegionState, reordered, scaled_edges, wire_edges, wire_text

PACKAGE = Path(imgprep.__file__).parent


def edge_in(node):
    """Return "x1" for `x1`, `box.x1`, `"x1"`, `"d_x1"`, `edges["x1"]` and `{box.x1}`; else None."""
    if isinstance(node, ast.FormattedValue):
        return edge_in(node.value)
    if isinstance(node, ast.Subscript):
        return edge_in(node.slice)
    if isinstance(node, ast.Call) and len(node.args) == 1:
        return edge_in(node.args[0])
    name = {ast.Name: "id", ast.Attribute: "attr", ast.Constant: "value", ast.arg: "arg"}.get(type(node))
    value = getattr(node, name) if name else None
    return value[-2:] if isinstance(value, str) and value[-2:] in EDGES else None


def spells_the_wire_order(node):
    """Whether an expression lists the edges in the wire's order, or the places that turn it into another."""
    if isinstance(node, ast.FunctionDef):
        named = [
            [getattr(part, "id", None) for part in each.elts] for each in ast.walk(node) if isinstance(each, ast.Tuple)
        ]
        turned = [
            [a, c, b, d] for a, b, c, d in (names for names in named if len({*names} - {None}) == len(names) == 4)
        ]
        return any(names in turned for names in named)
    if isinstance(node, ast.JoinedStr):
        parts = [part for part in node.values if isinstance(part, ast.FormattedValue)]
    elif isinstance(node, ast.arguments):
        parts = [*node.posonlyargs, *node.args, *node.kwonlyargs]
    else:
        parts = getattr(node, "elts", None) or (node.args if isinstance(node, ast.Call) else [])
    found = [edge_in(part) for part in parts]
    values = [part.value for part in parts if isinstance(part, ast.Constant)]
    return any(tuple(found[at : at + 4]) == WIRE_ORDER for at in range(len(found))) or values == [0, 2, 1, 3]


@pytest.mark.parametrize(
    "code",
    [
        "x1, x2, y1, y2 = parts",
        "f'{r.x1},{r.x2},{r.y1},{r.y2}'",
        "concat('d_x1', 'd_x2', 'd_y1', 'd_y2')",
        "names = ['x1', 'x2', 'y1', 'y2']",
        "join(e['x1'], e['x2'], e['y1'], e['y2'])",
        "concat(col('x1'), col('x2'), col('y1'), col('y2'))",
        "def f(x1, x2, y1, y2): pass",
        "numbers[:, [0, 2, 1, 3]]",
        "def f(text):\n a, b, c, d = text.split(',')\n return (a, c, b, d)",
    ],
)
def test_the_search_sees_every_way_to_spell_the_order(code):
    assert any(spells_the_wire_order(node) for node in ast.walk(ast.parse(code)))


def test_one_module_spells_the_order_of_the_wire():
    """The sandbox has its own: it judges without the product's code."""
    spelled = [
        f"{file.relative_to(PACKAGE)}:{node.lineno}"
        for file in PACKAGE.rglob("*.py")
        if "sandbox" not in file.parts and file != PACKAGE / "core" / "regions.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if spells_the_wire_order(node)
    ]
    assert not spelled, "use imgprep.core.regions (WIRE_ORDER, wire_text, wire_edges, reordered)"


def test_columns_are_scaled_and_written_like_single_regions():
    random_ = random.Random(7)
    rows = []
    for _ in range(500):
        x1, y1 = random_.randrange(900), random_.randrange(900)
        x2, y2 = x1 + 1 + random_.randrange(100), y1 + 1 + random_.randrange(100)
        rows.append({"x1": x1, "y1": y1, "x2": x2, "y2": y2, "k": random_.choice([0.5, 0.013, 1.5, 0.25])})
    frame = pl.DataFrame(rows).with_columns(side=(pl.col("k") * 1000).cast(pl.Int64))
    edges = {name: pl.col(name) for name in EDGES}
    scaled = scaled_edges(edges, pl.col("k"), pl.col("k"), width=pl.col("side"), height=pl.col("side"))
    for row, text in zip(rows, frame.select(wire_text(scaled)).to_series(), strict=True):
        side = int(row["k"] * 1000)
        region = Region(**{name: row[name] for name in EDGES})
        assert text == region.scaled(row["k"], row["k"], width=side, height=side).wire()


def test_texts_are_read_like_single_ones_and_null_where_there_is_no_integer():
    frame = pl.DataFrame({"text": ["20,40,60,80", "1,2,x,4", "1,2", None]})
    read = frame.select(**wire_edges(pl.col("text"))).rows(named=True)
    region = Region.from_wire("20,40,60,80")
    assert read[0] == {name: getattr(region, name) for name in EDGES}
    assert read[1] == {"x1": 1, "x2": 2, "y1": None, "y2": 4}
    assert read[2] == {"x1": 1, "x2": 2, "y1": None, "y2": None}
    assert set(read[3].values()) == {None}


def test_the_other_reading_takes_the_same_numbers_as_corners():
    assert reordered(dict(zip(WIRE_ORDER, (20, 40, 60, 80), strict=True))) == {"x1": 20, "y1": 40, "x2": 60, "y2": 80}


def test_the_three_states_are_spelled_as_stores_and_files_hold_them():
    assert [str(state) for state in RegionState] == ["region", "whole", "service"]
