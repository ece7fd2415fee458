"""`imgprep check` says what to do next."""

from imgprep.cli.main import main


def test_images_named_by_url_are_to_be_fetched_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "export.csv").write_text("sku,image\n1,https://shop.example/a.jpg\n", encoding="utf-8")
    main(["check", "export.csv"])
    assert "Next: `imgprep fetch --into DIR` downloads the images" in capsys.readouterr().err
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "other.jpg").write_bytes(b"")
    main(["check", "export.csv", "--images", "photos"])
    assert "Next: `imgprep look" in capsys.readouterr().err
