"""What the commands print: a shop's texts are shown and obeyed by no terminal."""

import io
import json
import logging

import pandas as pd
import pytest

from imgprep.cli.main import main
from imgprep.cli.output import Plain, escaped, show

#: Clears the screen, renames the window, turns the direction of writing, is an escape of one byte, is half a pair.
HOSTILE = "\x1b[2J\x1b]0;owned\x07 red\u202edress\x9b31m\r\x7f"
FRAME = pd.DataFrame({"title": [HOSTILE, "茶\u3000杯", None], "\x1b[31mname": [1, 2, 3]})


def acts(text):
    return [char for char in text if not char.isprintable() and char not in "\n\u3000"]


@pytest.mark.parametrize("form", ["table", "json"])
def test_no_text_acts_on_a_terminal(form, capsys):
    show(FRAME, form)
    shown = capsys.readouterr().out
    assert not acts(shown) and "red" in shown and "name" in shown


def test_json_says_the_same_afterwards(capsys):
    show(FRAME, "json")
    assert json.loads(capsys.readouterr().out) == [
        {"title": HOSTILE, "\x1b[31mname": 1},
        {"title": "茶\u3000杯", "\x1b[31mname": 2},
        {"title": None, "\x1b[31mname": 3},
    ]


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_csv_is_exact_in_a_file_and_harmless_on_a_screen(monkeypatch):
    for out in (io.StringIO(), Screen()):
        monkeypatch.setattr("sys.stdout", out)
        show(FRAME, "csv")
        assert (HOSTILE in out.getvalue()) is not out.isatty()
        assert bool(acts(out.getvalue())) is not out.isatty()


def test_errors_and_logs_quote_names_harmlessly(tmp_path, capsys):
    assert main(["check", str(tmp_path / f"gone{HOSTILE}.csv")]) == 2
    printed = capsys.readouterr().err
    assert not acts(printed) and "\\u001b[2J" in printed
    record = logging.LogRecord("imgprep", logging.WARNING, "", 0, "not read: %s", (HOSTILE,), None)
    assert not acts(Plain("%(message)s").format(record))


def test_a_catalogue_is_checked_without_a_character_that_acts(tmp_path, capsys):
    file = tmp_path / "export.csv"
    file.write_text(f'sku,title,image\n"{HOSTILE}","{HOSTILE}","{HOSTILE}.jpg"\n', encoding="utf-8")
    for form in ("table", "json"):
        assert main(["check", str(file), "--format", form]) == 0
        assert not acts(capsys.readouterr().out)


def test_plain_text_stays_as_it_is():
    text = 'Größe 10"\t茶\u3000杯\u00a0é\n👍'
    assert escaped(text) == text


def test_a_table_cuts_values_and_reads_messages_to_their_end(capsys):
    show(pd.DataFrame({"value": ["v" * 500], "message": ["m" * 500], "remedy": ["r" * 500]}), "table")
    printed = capsys.readouterr().out
    assert "m" * 500 in printed and "r" * 500 in printed and "v" * 200 not in printed
