"""The report page in a browser: it fits its screen, in both themes."""

import pytest

import imgprep as ip

pytestmark = pytest.mark.proof  # Chromium, for layout alone


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_fits_a_phone_and_is_short_on_a_desk(browser, demo_runs, tmp_path, language):
    file = ip.write_report(demo_runs[0], tmp_path / "report.html", language=language)
    for width, scheme in ((390, "light"), (1280, "dark")):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        page.goto(file.as_uri())
        size = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        context.close()
        assert size[0] == width, "nothing is wider than the screen"
        assert width < 1280 or size[1] <= 2000
        assert (paper == "rgb(255, 255, 255)") is (scheme == "light")
