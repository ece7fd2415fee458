"""Mistyped commands and options end with a suggestion and exit code 2; an option means the same everywhere."""

import argparse
from pathlib import Path

import pytest

from imgprep.cli.main import main
from imgprep.cli.parser import make_parser

#: Options that name what a command writes, lists or samples, and those that take one or several of the same.
OWN = {"--out", "--into", "--all", "--by", "--sample", "--images", "--failed"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["chek"], "unknown choice 'chek'; did you mean check?"),
        (["check", "--imgs", "photos"], "did you mean --images for --imgs?"),
        (["check", "--imgs=photos"], "did you mean --images for --imgs?"),
        (["build", "--ot", "batch"], "required: --out; did you mean --out for --ot?"),
        (["check", "--format", "jsn"], "argument --format: unknown choice 'jsn'; did you mean json?"),
        (["check", "--service", "furnitur"], "did you mean furniture?"),
        ([], "`imgprep --help` lists them"),
    ],
)
def test_the_message_suggests_what_was_meant(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("words", [["frobnicate"], ["check", "--zzz"], ["check", "-x"]])
def test_no_suggestion_where_no_name_is_close(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert words[-1] in message and "did you mean" not in message


def test_options_can_be_abbreviated(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "export.csv").write_text("sku,image\n1,a.jpg\n", encoding="utf-8")
    assert main(["check", "export.csv", "--summ"]) == 1
    assert "1 row checked" in capsys.readouterr().out


def test_an_option_means_the_same_in_every_command():
    found = {}
    (commands,) = (action.choices for action in make_parser()._actions if isinstance(action.choices, dict))
    for parser in commands.values():
        for action in parser._actions:
            if action.help != argparse.SUPPRESS:
                for name in action.option_strings:
                    found.setdefault(name, set()).add((action.metavar, action.type, action.nargs, str(action.default)))
    assert {name for name, kinds in found.items() if len(kinds) > 1} <= OWN


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["verify", "--confirm", "1200"], "confirm", 1200),
        (["verify", "--confirm-requests", "1200"], "confirm", 1200),
        (["submit", "batch", "--yes", "shop"], "confirm", "shop"),
        (["calibrate", "--yes", "shop"], "confirm", "shop"),
        (["findability", "--sheet", "worst.html"], "html", Path("worst.html")),
    ],
)
def test_an_earlier_name_of_an_option_still_works(words, name, value):
    assert getattr(make_parser().parse_args(words), name) == value
