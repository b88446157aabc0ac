"""The report in a real browser: headless Chromium, without a network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from report_site import EVIL, hostile_results

from layton_bench.report import build_report

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="no chromium with chromedriver here (apt-get install chromium chromium-driver)",
)

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
)  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    return build_report(hostile_results(folder / "results"), folder / "site").parent


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with pytest.MonkeyPatch.context() as patch:
        # the driver's own requests to the browser must not go through a proxy
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        service = webdriver.ChromeService(executable_path=DRIVER)
        driver = webdriver.Chrome(options=options, service=service)
        driver.set_page_load_timeout(60)
        yield driver
        driver.quit()


class Browser:
    """One page after another, all that they say and ask for kept."""

    def __init__(self, chrome: Chrome, site: Path) -> None:
        self.chrome = chrome
        self._site = site

    def open(self, page: str) -> None:
        self.chrome.get(f"{self._site.as_uri()}/{page}")

    def find(self, selector: str) -> WebElement:
        return self.chrome.find_element("css selector", selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.chrome.find_elements("css selector", selector)

    def run(self, script: str, *values: object) -> Any:
        return self.chrome.execute_script(script, *values)

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.all(selector)]

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.chrome.get_log("browser")]

    def requests(self) -> list[str]:
        messages = (json.loads(e["message"])["message"] for e in self.chrome.get_log("performance"))
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def wide(self, width: int) -> None:
        """Make the window that wide inside; as narrow as a phone, which a window cannot be."""
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def theme(self, name: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


@pytest.fixture
def browser(chrome: Chrome, site: Path) -> Iterator[Browser]:
    browser = Browser(chrome, site)
    browser.wide(1280)
    browser.complaints(), browser.requests()
    yield browser
    assert browser.complaints() == []
    asked = browser.requests()
    assert asked
    allowed = (site.as_uri(), "data:,")
    assert [url for url in asked if not url.startswith(allowed)] == []
    browser.chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


PAGES = ("index.html", "gallery-1.html", "provenance.html")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_in_silence_and_fits_a_phone(browser: Browser, page: str) -> None:
    browser.open(page)
    for width in (1280, 360):
        browser.wide(width)
        assert browser.run("return document.documentElement.scrollWidth") <= width
    broken = "return [...document.images].filter(i => i.complete && !i.naturalWidth).length"
    assert browser.run(broken) == 0


def names(browser: Browser) -> list[str]:
    return browser.texts("#table-1 tbody th a")


def test_columns_sort_both_ways_with_missing_values_last(browser: Browser) -> None:
    browser.open("index.html")
    assert names(browser) == ["exact", EVIL, "plain"]
    heads = {h.text: h for h in browser.all("#table-1 thead th button")}
    psnr, bits, ssim = heads["PSNR (dB) ↑"], heads["bits/image"], heads["SSIM ↑"]
    bits.click()
    assert names(browser) == ["plain", EVIL, "exact"]
    bits.click()
    assert names(browser) == ["exact", EVIL, "plain"]
    psnr.click()  # best first; 9.5 is less than 30, and infinity is a number
    assert names(browser) == ["exact", EVIL, "plain"]
    psnr.click()
    assert names(browser) == ["plain", EVIL, "exact"]
    ssim.click()
    assert names(browser) == ["plain", EVIL, "exact"]
    ssim.click()
    assert names(browser) == [EVIL, "plain", "exact"]
    assert [h.get_attribute("aria-sort") for h in browser.all("#table-1 thead th")] == [
        None, None, None, None, None, "ascending",
    ]  # fmt: skip


def test_sorting_and_plots_work_from_the_keyboard(browser: Browser) -> None:
    browser.open("index.html")
    button = browser.all("#table-1 thead th button")[2]
    button.send_keys("\ue007")
    assert names(browser) == ["plain", EVIL, "exact"]
    shown = "#board-1 .figures:first-of-type figure:not([hidden]) figcaption"
    select = browser.find("#board-1 .figures select")
    assert len(browser.all(shown)) == 1
    select.send_keys("SSIM")
    (caption,) = browser.all(shown)
    assert caption.get_attribute("textContent") == "SSIM ↑"


def test_models_can_be_filtered(browser: Browser) -> None:
    browser.open("index.html")
    browser.find(".filter input").send_keys("PLA")
    assert [r.is_displayed() for r in browser.all("#table-1 tbody tr")] == [False, False, True]
    assert browser.find(".filter output").text == "1 of 3"


def clip(browser: Browser) -> str:
    return str(browser.run("return document.querySelector('[data-role=clip]').style.clipPath"))


def test_the_line_is_dragged_by_mouse_and_moved_by_keys(browser: Browser) -> None:
    from selenium.webdriver import ActionChains

    browser.open("gallery-1.html")
    assert clip(browser) == "inset(0px 50% 0px 0px)"
    width = browser.find("[data-role=canvas]").size["width"]
    handle = browser.find("[data-role=handle]")
    ActionChains(browser.chrome).drag_and_drop_by_offset(handle, round(width / 4), 0).perform()
    slide = browser.find("[data-role=slide]")
    assert float(slide.get_attribute("value") or 0) == pytest.approx(75, abs=1)
    assert clip(browser).startswith("inset(0px 2")
    before = float(slide.get_attribute("value") or 0)
    slide.send_keys("\ue012\ue012")  # left twice
    assert float(slide.get_attribute("value") or 0) == pytest.approx(before - 1)
    slide.send_keys("\ue011")  # home
    assert clip(browser) == "inset(0px 100% 0px 0px)"


def test_pictures_zoom_by_button_and_key(browser: Browser) -> None:
    browser.open("gallery-1.html")
    canvas, stage = browser.find("[data-role=canvas]"), browser.find("[data-role=stage]")

    def visible() -> int:
        # scroll bars, which come with the zoom, take room from the stage
        return int(browser.run("return arguments[0].clientWidth", stage))

    assert canvas.size["width"] == pytest.approx(visible(), abs=1)
    browser.find("[data-role=in]").click()
    assert canvas.size["width"] == pytest.approx(2 * visible(), abs=1)
    assert browser.find("[data-role=zoom]").text == "2×"
    middle = browser.run("return arguments[0].scrollLeft + arguments[0].clientWidth / 2", stage)
    assert middle == pytest.approx(visible(), abs=20)
    stage.send_keys("++")
    assert canvas.size["width"] == pytest.approx(8 * visible(), abs=1)
    assert not browser.find("[data-role=in]").is_enabled()
    stage.send_keys("0")
    assert canvas.size["width"] == pytest.approx(visible(), abs=1)


def chosen(browser: Browser) -> list[str]:
    return [
        str(browser.run("return arguments[0].selectedOptions[0].text", browser.find(selector)))
        for selector in ("[data-role=sample]", "[data-role=left]", "[data-role=right]")
    ]


def decoded_width(browser: Browser, side: str) -> int:
    """Width of the picture on one side as the browser has decoded it, in its own pixels."""
    image = browser.find(f"[data-role={side}-image]")
    assert image.is_displayed()
    script = "return (async (image) => { await image.decode(); return image.naturalWidth; })"
    return int(browser.run(f"{script}(arguments[0])", image))


def test_the_gallery_opens_what_is_clicked_and_says_what_is_not_kept(browser: Browser) -> None:
    browser.open("gallery-1.html")
    case = browser.all("details.cases")[2]
    case.find_element("css selector", "summary").click()
    strips = case.find_elements("css selector", ".strip")
    assert [len(strip.find_elements("css selector", "button.open")) for strip in strips] == [2, 3]
    strips[1].find_elements("css selector", "button.open")[1].click()
    assert chosen(browser) == ["c", "Original", "plain"]
    assert decoded_width(browser, "left") == decoded_width(browser, "right") == 32
    assert browser.find("[data-role=right-caption]").text == "plain: PSNR 9.50 dB"
    # the evil sample was kept by the evil model alone
    browser.find("[data-role=sample]").send_keys("..")
    assert chosen(browser)[1:] == ["Original", EVIL]
    assert browser.find("[data-role=status]").text == (
        "No picture of this sample by plain was kept."
    )
    disabled = browser.texts("[data-role=right] option:disabled")
    assert disabled == ["exact (not kept)", "plain (not kept)"]


def test_a_link_to_a_run_opens_its_provenance(browser: Browser) -> None:
    browser.open("index.html")
    browser.all("#table-1 tbody th a")[1].click()
    opened = browser.all("details.origin[open]")
    assert [o.get_attribute("id") for o in opened] == ["run-2"]
    assert "psnr|n:10|v1" in opened[0].text


def luminance(colour: str) -> float:
    """Relative luminance of a CSS rgb() colour (WCAG 2.2)."""
    parts = [float(p) / 255 for p in colour.strip("rgba()").split(",")[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_can_be_read_in_both_themes(browser: Browser, theme: str) -> None:
    browser.theme(theme)
    browser.open("index.html")
    paper = luminance(browser.run("return getComputedStyle(document.body).backgroundColor"))
    assert (paper > 0.5) == (theme == "light")
    for selector in ("body", ".note", "td.best", "tbody th a", "td .range"):
        ink = luminance(browser.run(
            "return getComputedStyle(document.querySelector(arguments[0])).color", selector
        ))  # fmt: skip
        contrast = (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05)
        assert contrast >= 4.5, selector  # WCAG 2.2, level AA
    browser.theme("light")


def test_without_script_everything_still_shows(browser: Browser) -> None:
    browser.chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open("index.html")
        assert names(browser) == ["exact", EVIL, "plain"]
        figures = browser.all("#board-1 figure")
        assert len(figures) > 2
        assert all(figure.is_displayed() for figure in figures)
    finally:
        browser.chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        browser.open("index.html")
