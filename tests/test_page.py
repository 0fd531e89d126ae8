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
from tests.test_gate import card, run, write_run

selenium = pytest.importorskip("selenium", reason="selenium is not installed")
CHROME = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROME and DRIVER), reason="no Chromium with its driver on this machine")


def odd(row):
    """One codec has a name that would end a script, and one rate point a name that shells and lists would mind."""
    codec = "</script><i>x" if row.codec == "zstd" else row.codec
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


class Reader:
    """A reader of the page, by mouse and keyboard."""

    def __init__(self, browser, page):
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys
        from selenium.webdriver.support.select import Select

        browser.get(page.as_uri())
        self.browser, self.script, self.keys = browser, browser.execute_script, Keys
        self.find = lambda selector: browser.find_element(By.CSS_SELECTOR, selector)
        self.finds = lambda selector: browser.find_elements(By.CSS_SELECTOR, selector)
        self.text = lambda selector: self.find(selector).text
        self.choose = lambda selector, text: Select(self.find(selector)).select_by_visible_text(text)
        self.press = lambda *keys: ActionChains(browser).send_keys(*keys).perform()

    def scroll(self, selector):
        self.script("document.querySelector(arguments[0]).scrollIntoView()", selector)

    def check_quiet(self):
        """Nothing failed, nothing was asked for, no name became HTML, and nothing is wider than the window."""
        assert [entry for entry in self.browser.get_log("browser") if entry["level"] == "SEVERE"] == []
        messages = [entry["message"] for entry in self.browser.get_log("performance")]
        sent = [message for message in messages if "Network.requestWillBeSent" in message]
        assert [message for message in sent if '"url":"http' in message or '"url":"ws' in message] == []
        assert self.finds("i") == []
        assert self.script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_page_answers_and_says_how_to_measure_again(page, browser):
    reader = Reader(browser, page)

    # The answers: curves against the reference of the reader's choice.
    assert "against CAAS " in reader.text(".forest caption")
    reader.choose("#reference", "CAAS dcvc")
    assert "against CAAS dcvc" in reader.text(".forest caption")
    assert "\u221250.0" in next(row.text for row in reader.finds(".forest tbody tr") if "x265" in row.text)
    reader.choose("#speed", "fast")
    assert len(reader.finds(".forest tbody tr")) == 2

    # Curves: filters by keyboard; a point's numbers and commands without a mouse.
    reader.scroll("#curves")
    wait_until(lambda: len(reader.finds("#plot .series")) == 3)
    reader.find("input[name=codec][value=dcvc]").send_keys(reader.keys.SPACE)
    assert len(reader.finds("#plot .series")) == 2
    assert "n\u202f=\u202f2" in reader.text("#plot .legend")
    reader.choose("#mean", "every sequence")
    assert "high-1" in reader.text("#plot .legend")
    reader.choose("#curve-speed", "fast")
    reader.script("document.querySelector('#plot [tabindex=\"0\"]').focus()")
    assert "high-1" in reader.text("#tip")
    reader.press(reader.keys.ARROW_LEFT, reader.keys.ARROW_LEFT, reader.keys.ARROW_LEFT, reader.keys.ENTER)
    text = reader.text("#detail")
    assert "intra_period" in text and "bench explain " in text
    job = text.split(" of ")[0].split()[-1]
    runs = load_runs([page.parent / "run"])
    commands = [code.text for code in reader.finds("#detail code")]
    assert runs.command(runs.table["job"].eq(job)) in commands
    assert any("""--rates '"8'"'"'s, 9"' --sequences high-1 --limit 0""" in command for command in commands)
    reader.press(reader.keys.ESCAPE)
    assert not reader.find("#detail").is_displayed()

    # A cell of the heat map.
    reader.scroll("#bd")
    reader.find(".heat .fewer").click()
    assert "--codec dcvc" in reader.text("#detail") and "bench report RUN RUN" in reader.text("#detail")
    reader.find("#detail-close").click()
    assert "</script><i>x" in reader.text("#forests")
    reader.check_quiet()


def test_page_shows_pictures_and_tables(page, browser, tmp_path):
    from selenium.webdriver.common.by import By

    reader = Reader(browser, page)

    # Pictures: all are enlarged together; errors beside a scale.
    reader.scroll("#pictures")
    wait_until(lambda: len(reader.finds("#tiles canvas")) == 5)
    reader.find("#larger").click()
    assert reader.text("#zoom-words") == "2\u00d7"
    assert "streams stay on the machine" in reader.text("#instant-words")
    before = reader.script("return document.querySelectorAll('#tiles canvas')[3].toDataURL()")
    reader.script("document.getElementById('errors').click()")
    wait_until(lambda: reader.script("return document.querySelectorAll('#tiles canvas')[3].toDataURL()") != before)
    assert "10 % of white" in reader.text("#error-scale")

    # A table: opened, filtered, sorted, and as CSV with its commands.
    reader.find("#table_caas summary").click()
    box = reader.find("#table_caas")
    whole = len(box.find_elements(By.CSS_SELECTOR, "tbody tr"))
    box.find_element(By.TAG_NAME, "input").send_keys("x265")
    assert 0 < len(box.find_elements(By.CSS_SELECTOR, "tbody tr")) < whole
    column = next(head for head in box.find_elements(By.CSS_SELECTOR, "thead button") if head.text.startswith("bpp"))
    for way in ("ascending", "descending"):
        reader.script("arguments[0].click()", column)
        assert column.find_element(By.XPATH, "..").get_attribute("aria-sort") == way
    reader.script("arguments[0].click()", box.find_element(By.CLASS_NAME, "csv"))
    wait_until(lambda: list(tmp_path.glob("*.csv")))
    written = next(tmp_path.glob("*.csv")).read_text()
    assert written.startswith("dataset,codec") and "bench run" in written and "dcvc" not in written

    # Dark and light change sides.
    before = reader.script("return getComputedStyle(document.body).backgroundColor")
    reader.script("document.getElementById('theme').click()")
    assert reader.script("return getComputedStyle(document.body).backgroundColor") != before
    reader.check_quiet()


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """A run, and beside it the page of all its 16 points, and the one that may have 15."""
    folder = tmp_path_factory.mktemp("limited")
    run = write_run(folder / "run", {"x265": (1000, ""), "dcvc": (2000, "f" * 64)}, rows=odd)
    with pytest.MonkeyPatch.context() as patch:
        for most in (16, 15):
            patch.setattr("bench.report.page_data.MOST_POINTS", most)
            build_report([run], folder / "report", lambda done, total, label: None, folder / f"{most}.html")
    return run


def test_page_of_too_many_points_has_means_alone(limited, browser):
    from selenium.webdriver.common.by import By

    labels = []
    for most in (16, 15):
        browser.get((limited.parent / f"{most}.html").as_uri())
        browser.execute_script("document.getElementById('curves').scrollIntoView()")
        wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, "#plot .point"))
        points = browser.find_elements(By.CSS_SELECTOR, "#plot .point")
        labels.append([point.get_attribute("aria-label") for point in points])
        said = "more than 15 points" in browser.find_element(By.ID, "curves").text
        assert said == (most == 15)
    assert len(labels[0]) == 8 and labels[0] == labels[1]
    assert len(browser.find_elements(By.CSS_SELECTOR, "#mean option")) == 1
    browser.execute_script("document.querySelector('#plot .point').dispatchEvent(new MouseEvent('click'))")
    commands = [code.text for code in browser.find_elements(By.CSS_SELECTOR, "#detail code")]
    runs = load_runs([limited])
    assert runs.command(runs.table["job"].eq(runs.table["job"].iloc[0])) in commands


def test_report_opens_its_page(monkeypatch, tmp_path, capsys):
    opened, written = [], []
    monkeypatch.setattr("webbrowser.open", opened.append)  # None: there is no browser
    monkeypatch.setattr("bench.report.build.build_report", lambda *call: written.append(call[3]) or [call[3]])
    folder = write_run(tmp_path / "run", {"x265": (1000, "")})
    code, said = run(capsys, "report", folder, "--out", tmp_path / "report", "--open")
    assert written == [tmp_path / "report" / "index.html"] and opened == [written[0].as_uri()]
    assert code == 2 and "no browser was found" in said


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
