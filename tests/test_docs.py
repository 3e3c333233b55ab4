"""The documentation says what the code has: keys of Config, their values, pictures, links."""

import ast
import importlib.util
import pathlib
import re
import shlex

import numpy as np
import pytest
from format_examples import MASKS, PICTURES, example_files, write_example

from mrcnn import cli
from mrcnn.config import Config
from mrcnn.data.formats import FORMATS, WRITERS
from mrcnn.data.loading import load
from mrcnn.presets import PRESETS
from mrcnn.settings import plain

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "config.md"
TEXT = PAGE.read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
KEYS = set(Config().to_dict())
# The columns of values: an empty cell has the first one's.
COLUMNS = (
    Config,
    PRESETS["torchvision/maskrcnn_resnet50_fpn"],
    PRESETS["detectron2/mask_rcnn_R_50_FPN_3x"],
)
NO_KEYS = {"PRESETS", "DATA", "FPN", "RPN"}  # written as code and in capitals
LARGEST = 100_000  # bytes of a picture


def key_rows():
    """Key -> the cells of its row, of every table whose first columns are keys and defaults."""
    tables = re.findall(r"^\| key \| default \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    rows = [line.strip("|").split("|") for table in tables for line in table.splitlines()]
    return {row[0].strip(" `"): [cell.strip(" `") for cell in row[1:]] for row in rows}, len(rows)


def named_keys(text):
    """Words in capitals that can only be keys: with an underscore, or alone as code."""
    alone = {word for word in re.findall(r"`([A-Z]{3,})(?: = [^`]*)?`", text)}
    return alone | set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", text))


def code_blocks():
    return re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def links(page):
    """Targets of a page's links and pictures that lie in the repository, without #fragments."""
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    return {target for target in targets if not re.match(r"[a-z]+:", target)}


def anchors(page):
    """The #fragments of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_key_has_one_row():
    rows, count = key_rows()
    assert set(rows) == KEYS
    assert count == len(KEYS)
    assert not [key for key, cells in rows.items() if len(cells) != 4 or len(cells[3]) < 10]


def test_no_key_is_named_that_does_not_exist():
    assert named_keys(TEXT) - KEYS - NO_KEYS == set()


@pytest.mark.parametrize("key", sorted(KEYS))
def test_values_are_those_of_the_code(key):
    cells = key_rows()[0][key]
    for cell, config in zip(cells, COLUMNS, strict=False):
        stated = ast.literal_eval(cell or cells[0])
        value = plain(getattr(config(), key))
        number = isinstance(value, float) and isinstance(stated, float)
        assert stated == (pytest.approx(value, rel=2e-4) if number else value)


def test_other_presets_differ_in_what_is_said():
    section = TEXT.split("### The other presets\n")[1].split("\n## ")[0]
    for name, config in PRESETS.items():
        if config in COLUMNS:
            continue
        (item,) = [
            part for part in section.split("\n- ") if part.strip("- ").startswith(f"`{name}`")
        ]
        family = {"torchvision": 1, "detectron2": 2}.get(name.split("/")[0], 0)
        base, own = COLUMNS[family]().to_dict(), config().to_dict()
        changed = {key for key in KEYS if plain(own[key]) != plain(base[key])}
        said = named_keys(item) | ({"NUM_CLASSES"} if "81 classes" in item else set())
        assert said == changed - {"PRESET", "IMAGE_META_SIZE", "IMAGE_SHAPE"}
        for key, value in re.findall(r"`(\w+) = ([^`]*)`", item):
            assert ast.literal_eval(value) == own[key]


@pytest.mark.parametrize("block", code_blocks())
def test_code_of_the_page_is_a_config_that_works(block):
    names = {}
    exec(block, names)  # a class, or what to write into one
    values = {key: value for key, value in names.items() if key in KEYS}
    config = names.get("ScrewConfig") or type("Own", (Config,), values)
    assert config is not Config and (values or "class" in block)
    own = type("Valid", (config,), {"NAME": "own", "NUM_CLASSES": 2})
    own().validate()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    for target in links(page):
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if fragment and file.suffix == ".md":
            assert fragment in anchors(file), target


@pytest.mark.parametrize("command", ["page", "serve"])
def test_what_leads_to_a_first_picture_and_answer_can_be_typed(command, monkeypatch):
    line = rf"\.venv/bin/mrcnn {command} .*\n"
    readme = PAGES[0].read_text(encoding="utf-8")
    (block,) = re.findall(rf"^```sh\n(.*\n{line}(?:curl .*\n)?)```", readme, re.MULTILINE)
    install, run, *ask = block.splitlines()
    (extra,) = re.fullmatch(r"\.venv/bin/pip install '\.\[(\w+)\]'", install).groups()
    assert f'"{extra}": [' in (ROOT / "setup.py").read_text(encoding="utf-8")
    given = []
    monkeypatch.setattr(f"mrcnn.cli.{command}._{command}", given.append)
    monkeypatch.chdir(ROOT)  # a clone
    assert cli.main(shlex.split(run)[1:]) == 0
    (arguments,) = given
    assert arguments.weights == "demo"  # the folder that `mrcnn demo` writes
    assert "class DemoConfig(" in pathlib.Path(arguments.config).read_text(encoding="utf-8")
    assert len(ask) == (command == "serve")
    for words in map(shlex.split, ask):
        file, address = words[2].removeprefix("@"), words[3]
        assert words[:2] == ["curl", "--data-binary"] and (ROOT / file).is_file()
        assert address == f"localhost:{arguments.port}/detect"


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_pictures_exist_and_are_small(page):
    for target in re.findall(r"!\[[^\]]+\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).stat().st_size < LARGEST, target


def test_pictures_are_those_that_the_script_draws():
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    files = {path.stem for path in (ROOT / "docs" / "pictures").glob("*.png")}
    assert set(script.PICTURES) == files
    assert {f"pictures/{name}.png" for name in files} <= links(PAGE)


SHARDS = {"shards"}  # of which an example is binary


def test_every_format_has_its_example():
    assert PICTURES.keys() | SHARDS == FORMATS.keys()
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| \[`(\w+)`\]\(#(\w+)\) \|.*?\| (yes|) ?\| (yes|) ?\|", text, re.M)
    assert {name: bool(written) for name, _, _, written in table} == {
        name: name in WRITERS for name in FORMATS
    }
    shown = {name.split("/")[0] for name in example_files()}
    assert shown | MASKS.keys() | SHARDS == FORMATS.keys()


@pytest.mark.parametrize("format", PICTURES)
def test_the_example_of_a_format_loads(tmp_path, format):
    expected = write_example(format, tmp_path / format)
    dataset = load(tmp_path / format, verbose=0)
    assert dataset.source == format and dataset.num_images == 1
    masks, class_ids = dataset.load_mask(0)
    np.testing.assert_array_equal(masks[:, :, 0], expected)
    assert dataset.class_names[class_ids[0]] == ("object" if format in MASKS else "cat")
