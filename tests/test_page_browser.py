"""`mrcnn page` in a real browser: Chromium of the system, where there is one."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import TinyConfig

from mrcnn.model import MaskRCNN

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.thorough,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
]
SIZES = {"desktop": (1280, 900), "telephone": (390, 844)}
PATIENCE = 300_000  # ms


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The command in a process of its own, with two tiny models of random weights."""
    folder = tmp_path_factory.mktemp("page")
    for seed, name in ((1, "first"), (2, "second")):
        config = TinyConfig()
        config.SEED = seed
        model = MaskRCNN("inference", config, folder)
        model.class_names = ["BG", "square", "circle", "triangle"]
        model.save_weights(folder / f"{name}.h5")
    argv = [sys.executable, "-m", "mrcnn", "page", str(folder / "first.h5"), "--port", "0"]
    argv += ["--config", str(Path(__file__).with_name("tiny.py")), "--score", "0"]
    argv += ["--compare", str(folder / "second.h5")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with (
        open(folder / "log", "wb") as log,
        subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        ) as it,
    ):
        try:
            told = next(line for line in it.stdout if line.startswith("Open "))
            yield told.split()[1]
            it.send_signal(signal.SIGTERM)
            assert it.wait(300) == 0
        finally:
            it.kill()


@pytest.fixture(params=SIZES)
def page(request, address):
    """The page as it is opened; at the end nothing has left this machine, or gone wrong."""
    width, height = SIZES[request.param]
    outside, errors = set(), []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        it = browser.new_page(viewport={"width": width, "height": height})
        it.set_default_timeout(PATIENCE)
        it.on("request", lambda sent: outside.add(sent.url))
        it.on("pageerror", lambda error: errors.append(error))
        it.goto(address)
        it.wait_for_selector("#samples img")
        yield it
        assert it.locator(".toast-body").count() == 0, it.locator(".toast-body").all_inner_texts()
        wide = it.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        browser.close()
    assert wide <= 0
    assert [url for url in outside if not url.startswith((address, "data:", "blob:"))] == []
    assert errors == []


def open_tab(page, name):
    """Opens a tab, which on a narrow page may be in a menu."""
    tab = page.get_by_role("tab", name=name, exact=True)
    if tab.count() and tab.first.is_visible():
        tab.first.click()
    else:
        page.locator(".overflow-menu > button").click()
        page.locator(".overflow-dropdown").get_by_text(name, exact=True).click()


def open_sample(page):
    """Opens a painted picture, and lets all that was found through."""
    page.locator("#samples img").first.click()
    page.get_by_text("painted_1.png").wait_for()
    least = page.locator("#least input[type=number]")
    least.fill("0")
    least.press("Enter")
    page.get_by_text(re.compile(r"[1-8] found")).wait_for()


def test_from_a_sample_to_the_stages(page):
    open_sample(page)
    open_tab(page, "Inside")
    page.get_by_text("not yet refined").wait_for()
    for stage, text in (
        ("Proposals by score", "by the score of the region proposal network"),
        ("Proposals: what NMS removed", "best refined anchors"),
        ("ROIs by level", "coarse levels"),
        ("Class scores", "more likely an object than background"),
        ("Detections: what was removed, and why", "Suppressed by a better box"),
        ("Masks before pasting", "28 x 28 over the box"),
    ):
        page.locator("#stages input").click()
        page.get_by_role("option", name=stage, exact=True).click()
        page.get_by_text(text).wait_for()
    open_tab(page, "Compare")
    page.get_by_text("found by both").wait_for()
    for name in ("#found_0", "#found_1"):
        page.locator(f"{name} img").wait_for()
