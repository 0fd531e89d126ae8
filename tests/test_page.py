"""The report's page in a real browser."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.report.build import build_report
from bench.report.rows import load_runs
from tests.conftest import wait_until
from tests.test_board import site, submitted
from tests.test_gate import card, write_run

selenium = pytest.importorskip("selenium", reason="selenium is not installed")
CHROME = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROME and DRIVER), reason="no Chromium with its driver on this machine")


def odd(row):
    """One codec has a name that would end a script, and one rate point a name that shells and lists would mind."""
    codec = "</script><b>x" if row.codec == "zstd" else row.codec
    return row.model_copy(update={"codec": codec, "rate_point": row.rate_point.replace("8", "8's, 9")})


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of two codecs with pictures, and of an odd one."""
    folder = tmp_path_factory.mktemp("page")
    run = write_run(folder / "run", {"x265": (1000, ""), "dcvc": (2000, "f" * 64), "zstd": (3000, "")}, rows=odd)
    (run / "streams").mkdir()
    random = np.random.default_rng(0)
    for job in pd.read_csv(run / "rd.csv")["job"]:
        Image.fromarray(random.integers(0, 256, (256, 256), np.uint8)).save(run / "streams" / f"{job}.png")
    build_report([run], folder / "report", lambda done, total, label: None, folder / "index.html")
    return folder / "index.html"


@pytest.fixture(params=[(1200, "light"), (400, "dark")], ids=["wide", "narrow"])
def browser(request, tmp_path):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    width, theme = request.param
    options = webdriver.ChromeOptions()
    options.binary_location = CHROME
    flags = ("headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking")
    for flag in (*flags, f"user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(f"--{flag}")
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    theme = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", theme)
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    yield driver
    driver.quit()


def test_page_works_without_asking_for_anything(page, browser, tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.select import Select

    browser.get(page.as_uri())
    find = browser.find_element

    def traces():
        return browser.execute_script("return document.getElementById('plot').data.map(t => t.name)")

    assert len(traces()) == 3
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")

    # Filters, by the keyboard.
    find(By.CSS_SELECTOR, "input[name=codec][value=dcvc]").send_keys(Keys.SPACE)
    assert len(traces()) == 2
    Select(find(By.ID, "speed")).select_by_visible_text("high")
    points = Select(find(By.ID, "point"))
    assert len(points.options) == 1 + 8
    Select(find(By.ID, "mean")).select_by_visible_text("every sequence")
    assert any(name.endswith("high-1") for name in traces())

    # A point's card, without a mouse.
    points = Select(find(By.ID, "point"))
    points.select_by_index(1)
    text = find(By.ID, "detail").text
    assert "intra_period" in text
    job = text.split(" of ")[0].split()[-1]
    runs = load_runs([page.parent / "run"])
    assert text.endswith(runs.command(runs.table["job"].eq(job)))
    assert """--rates '"8'"'"'s, 9"' --sequences high-1 --limit 0""" in text
    # Hovering names the point.
    browser.execute_script("Plotly.Fx.hover('plot', [{curveNumber: 0, pointNumber: 0}])")
    wait_until(lambda: "bpp" in browser.execute_script("return document.querySelector('.hoverlayer').textContent"))

    # Pictures: two sides and a divider.
    Select(find(By.ID, "right")).select_by_index(2)
    assert "bpp" in find(By.ID, "caption-right").text
    slider = find(By.ID, "cut")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert "51%" in find(By.ID, "sides").get_attribute("style")

    # A table as CSV.
    button = find(By.CSS_SELECTOR, "button[data-csv=table-0]")
    browser.execute_script("arguments[0].click()", button)
    wait_until(lambda: list(tmp_path.glob("*.csv")))
    assert next(tmp_path.glob("*.csv")).read_text().startswith("dataset,codec")

    # Dark and light change sides.
    def back():
        return browser.execute_script("return getComputedStyle(document.body).backgroundColor")

    before = back()
    find(By.ID, "theme").click()
    assert back() != before

    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    sent = [
        entry["message"] for entry in browser.get_log("performance") if "Network.requestWillBeSent" in entry["message"]
    ]
    assert [message for message in sent if '"url":"http' in message or '"url":"ws' in message] == []
    # Names are text, never HTML, in the plot too.
    assert browser.execute_script("return document.querySelectorAll('b').length") == 0
    legend = browser.execute_script("return document.querySelector('.legend').textContent")
    assert "</script><b>x" in legend


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """A run, and beside it the page of all its 16 points, and the one that may have 15."""
    folder = tmp_path_factory.mktemp("limited")
    run = write_run(folder / "run", {"x265": (1000, ""), "dcvc": (2000, "f" * 64)}, rows=odd)
    with pytest.MonkeyPatch.context() as patch:
        for most in (16, 15):
            patch.setattr("bench.report.page.MOST_POINTS", most)
            build_report([run], folder / "report", lambda done, total, label: None, folder / f"{most}.html")
    return run


def test_page_of_too_many_points_has_means_alone(limited, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.select import Select

    curves = []
    for most in (16, 15):
        browser.get((limited.parent / f"{most}.html").as_uri())
        script = "return document.getElementById('plot').data.map(t => [t.name, [...t.x], [...t.y], [...t.text]])"
        curves.append(browser.execute_script(script))
        said = "more than 15 points" in browser.find_element(By.ID, "curves").text
        assert said == (most == 15)
    for (name, *numbers, words), (other, *others, said) in zip(*curves, strict=True):
        assert (name, words) == (other, said)
        assert numbers == [pytest.approx(values, rel=1e-6) for values in others]
    assert len(Select(browser.find_element(By.ID, "mean")).options) == 1
    Select(browser.find_element(By.ID, "point")).select_by_index(1)
    text = browser.find_element(By.ID, "detail").text
    assert "the mean of 1" not in text
    runs = load_runs([limited])
    assert text.endswith(runs.command(runs.table["job"].eq(runs.table["job"].iloc[0])))


def test_a_leaderboard_fits_its_window_and_shows_its_figures(browser, tmp_path):
    submitted(tmp_path, "a", {"vvenc": (1600, ""), "x265": (2000, "")}, "A" * 190)
    submitted(tmp_path, "b", {"dcvc": (800, "f" * 64)}, "B", card(extractor="tfp:window=" + "9" * 60))
    site(tmp_path)
    browser.get((tmp_path / "site" / "index.html").as_uri())
    browser.execute_script("for (const image of document.images) image.loading = 'eager'")
    wait_until(lambda: browser.execute_script("return [...document.images].every(i => i.complete && i.naturalWidth)"))
    assert browser.execute_script("return document.images.length") == 2
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert not browser.get_log("browser")
