"""What the commands print: a shop's texts are shown and obeyed by no terminal."""

import io
import json
import logging
import os
import re
import shlex

import pandas as pd
import pytest

from imgprep.cli.main import main
from imgprep.cli.output import Plain, escaped, show
from imgprep.cli.parser import STEPS, make_parser
from imgprep.core.notebook import shows

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


def screen_of(monkeypatch, frame, width=80, **variables):
    out = Screen()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_: os.terminal_size((width, 24)))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    show(frame, "table")
    return out.getvalue()


FOUND = pd.DataFrame(
    {
        "severity": ["error"],
        "rule": ["int-attr-range"],
        "basis": ["weak"],
        "message": ["a long message of several words " * 5 + "its end"],
        "fix": ["choose a smaller scale"],
        "share": [0.25],
    }
)


def test_a_table_fits_the_terminal_and_cuts_no_message(monkeypatch):
    shown = screen_of(monkeypatch, FOUND, NO_COLOR="1")
    assert "\x1b[1;31m" not in shown and "\x1b[31m" not in shown
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown)  # NO_COLOR permits bold type
    assert max(map(len, plain.splitlines())) <= 80 and "its end" in " ".join(plain.split()) and "basis" not in plain


def test_a_terminal_gets_colour_and_a_pipe_gets_one_line_for_each_row(monkeypatch, capsys):
    show(FOUND, "table")
    assert [line for line in capsys.readouterr().out.splitlines() if "its end" in line]
    assert "\x1b[1;31merror" in screen_of(monkeypatch, FOUND)


def test_numbers_are_right_aligned_and_shares_are_percentages(capsys):
    show(pd.DataFrame({"cause": ["a", "b"], "count": [1234, 5], "share": [0.5, 0.25]}), "table")
    assert capsys.readouterr().out.splitlines()[2:] == ["a       1,234   50.0%", "b           5   25.0%"]


def test_reasons_are_titles_for_people_and_ids_for_programs(capsys):
    frame = pd.DataFrame({"what": "excluded", "reason": ["left-out-by-where", "image-missing, image-empty"]})
    show(frame, "table")
    shown = capsys.readouterr().out
    assert "the condition of the catalogue (where) leaves the row out" in shown
    assert "the image is missing; the image file is empty" in shown and "image-empty" not in shown
    for form in ("csv", "json"):
        show(frame, form)
        out = capsys.readouterr().out
        assert "left-out-by-where" in out and "image-missing, image-empty" in out


def test_check_groups_findings_by_rule_with_errors_first(tmp_path, capsys):
    rows = "".join(f"S{n},T,{n}.jpg,x\n" for n in range(5))
    (tmp_path / "export.csv").write_text("ProductId,CustomContent,PicName,IntAttr\n" + rows, encoding="utf-8")
    assert main(["check", str(tmp_path / "export.csv")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "error   int-attr-not-integer  5 findings"
    assert lines[1] == '    row 1  S0  0.jpg: IntAttr "x" is not an integer'
    assert lines[4] == "    and 2 more" and lines[5].startswith("    Fix: map it with a scale")
    assert main(["check", str(tmp_path / "export.csv"), "--all"]) == 1
    assert sum("int-attr-not-integer" in line for line in capsys.readouterr().out.splitlines()) == 5


def test_check_names_the_fix_of_each_example(tmp_path, capsys):
    (tmp_path / "export.csv").write_text("sku,image,type\n1,a.jpg,Hats\n2,b.jpg,Hats\n3,c.jpg,Bags\n")
    (tmp_path / "map.toml").write_text(
        'ProductId = "sku"\nPicName = "image"\nCategoryId = { column = "type", map = { Tops = 0 } }\n'
    )
    main(["check", str(tmp_path / "export.csv"), "--columns", str(tmp_path / "map.toml")])
    fixes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("    Fix: add ")]
    assert len(fixes) == 2 and '"Hats"' in fixes[0] and '"Bags"' in fixes[1]


def test_no_progress_bar_goes_into_a_file(monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert not shows(True)
    monkeypatch.setattr("sys.stderr", Screen())
    assert shows(True) and not shows(False)


def test_help_lists_every_command_in_its_step_with_an_example_that_parses():
    commands = {name: example for step in STEPS.values() for name, example in step.items()}
    parser = make_parser()
    known = next(action for action in parser._actions if action.dest == "==SUPPRESS==" and action.choices).choices
    assert set(known) == set(commands)
    for name, example in commands.items():
        words = shlex.split(example.removeprefix('eval "$(').removesuffix(')"'))
        assert words[:2] == ["imgprep", name]
        assert parser.parse_args(words[1:]).run.endswith(f":{name.replace('-', '_')}")
        assert f"  {example}" in known[name].format_help()
        assert known[name].format_usage().startswith(f"usage: imgprep {name} ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_shell_can_complete_commands_and_options(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "duplicates" in script and "near-names" in script
