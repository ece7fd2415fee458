"""The map for newcomers names what is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
_PATH = r"`((?:imgprep|tests|bench|docs)/[\w/.]*)`"


def test_the_map_has_every_room_once_and_none_that_is_gone():
    table = TEXT.partition("| room |")[2].partition("\n\n")[0]
    named = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    found = {
        path.stem for path in (ROOT / "imgprep").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert sorted(named) == sorted(found - {"__init__", "__main__"})


def test_every_place_that_is_named_exists():
    paths = re.findall(_PATH, TEXT)
    assert len(paths) > 12
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_test_and_table_of_a_row_stands_in_a_file_that_the_row_names():
    rows = TEXT.partition("## To add")[2].partition("\n\nThe tables")[0].splitlines()
    named = 0
    for row in rows:
        files = [ROOT / path for path in re.findall(_PATH, row)]
        files += [file for folder in files if folder.is_dir() for file in folder.glob("*.py")]
        texts = "".join(file.read_text(encoding="utf-8") for file in files if file.is_file())
        names = re.findall(r"`(test_\w+|[A-Z_]{4,}|_HOME|Kind)`", row)
        named += len(names)
        assert [name for name in names if not re.search(rf"\b{name}\b", texts)] == [], row
    assert named > 8
