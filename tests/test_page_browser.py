"""`mrcnn page` in a real browser: Chromium of the system, where there is one.

Screenshots are left in the folder that MRCNN_SCREENSHOTS names.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import TinyConfig, shapes

from mrcnn.data.loading import load
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


def screenshot(page, name):
    folder = os.environ.get("MRCNN_SCREENSHOTS")
    if folder:
        os.makedirs(folder, exist_ok=True)
        width = page.viewport_size["width"]
        page.screenshot(path=f"{folder}/{name}_{width}.png", full_page=True)


def set_least(page, score):
    least = page.locator("#least input[type=number]")
    least.fill(score)
    least.press("Enter")


def open_sample(page):
    """Opens a painted picture, and lets all that was found through."""
    page.locator("#samples img").first.click()
    page.get_by_text("painted_1.png").wait_for()
    set_least(page, "0")
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
    screenshot(page, "inside")
    tiles = page.locator("#tiles .grid-container")  # none is cut off at its right
    assert tiles.evaluate("it => it.scrollWidth - it.clientWidth") <= 0
    open_tab(page, "Compare")
    page.get_by_text("found by both").wait_for()
    for name in ("#found_0", "#found_1"):
        page.locator(f"{name} img").wait_for()
    screenshot(page, "compare")


def test_a_file_is_corrected_kept_and_read_back(page, tmp_path):
    image = shapes(1, seed=3).load_image(0)
    Image.fromarray(image).save(tmp_path / "photo.png")
    page.locator("#file input[type=file]").set_input_files(tmp_path / "photo.png")
    page.get_by_text("photo.png: ").wait_for()
    set_least(page, "0")
    page.get_by_text(re.compile(r"[1-8] found")).wait_for()
    page.locator("#classes input").click()
    page.get_by_role("option", name="circle", exact=True).click()
    hidden = page.get_by_text("Hidden by the least score or the classes")
    hidden.wait_for()
    page.locator("#classes input").press("Backspace")  # all of them again
    page.locator("#classes input").press("Escape")
    hidden.wait_for(state="hidden")
    screenshot(page, "result")
    open_tab(page, "Correct")
    page.locator("#object input").click()
    page.get_by_role("option", name="a new object", exact=True).click()
    canvas = page.locator("#editor canvas").first
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)  # until it is asked for the picture, has it, and has laid it down
    waits = page.locator("#editor").get_by_text(re.compile("processing|queue"))
    playwright.expect(waits).to_have_count(0, timeout=PATIENCE)
    page.wait_for_timeout(2000)
    box = canvas.bounding_box()
    middle, height = box["y"] + box["height"] / 2, 40
    page.mouse.move(box["x"] + box["width"] * 0.4, middle)
    page.mouse.down()
    for i in range(11):
        page.mouse.move(box["x"] + box["width"] * (0.4 + 0.02 * i), middle + height * (i % 2))
    page.mouse.up()
    screenshot(page, "painted")
    page.get_by_role("button", name="Apply", exact=True).click()
    chosen = page.locator("#object input")
    playwright.expect(chosen).to_have_value(re.compile(r"\d: square 1\.00"), timeout=PATIENCE)
    page.get_by_role("button", name="Keep this picture").click()
    kept = page.get_by_text("Pictures kept: 1, objects: ")
    kept.wait_for()
    count = int(kept.inner_text().rsplit(" ")[-1].rstrip("."))
    page.get_by_role("button", name="Write the files").click()
    page.locator("#files").get_by_text(".zip").first.wait_for()
    screenshot(page, "kept")
    with page.expect_download() as download:
        page.locator("#files a[href*='.zip']").first.click()
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(tmp_path / "corrected")
    dataset = load(tmp_path / "corrected", verbose=0)
    masks, class_ids = dataset.load_mask(0)
    assert dataset.num_images == 1 and len(class_ids) == count > 0
    assert dataset.class_names[class_ids[-1]] == "square"  # the first class: the one painted
    rows, columns = np.nonzero(masks[:, :, -1])
    assert rows.size and 64 * 0.3 < columns.mean() < 64 * 0.7  # about the middle
    np.testing.assert_array_equal(dataset.load_image(0), image)


def test_a_video_is_drawn_into(page, tmp_path):
    from mrcnn.image.video import write_video

    dataset = shapes(3, seed=3)
    write_video(tmp_path / "party.mp4", map(dataset.load_image, range(3)), 10)
    page.locator("#file input[type=file]").set_input_files(tmp_path / "party.mp4")
    page.get_by_text("party_f000001.png: ").wait_for()
    page.get_by_text("Frame of 3").wait_for()
    page.get_by_role("button", name="Draw into all frames").click()
    page.locator("#written video").wait_for()
    screenshot(page, "video")
