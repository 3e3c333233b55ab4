import sys
import weakref
from fractions import Fraction

import numpy as np
import pytest
from skimage import data

from mrcnn.image.video import VideoReader, write_video

av = pytest.importorskip("av")

COLORS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (120, 120, 120), (0, 0, 0)]


def plain(color, size=(47, 63)):
    return np.full((*size, 3), color, np.uint8)


def write(path, frames, codec, rate=10, pix_fmt="yuv420p"):
    """A video of another format, by PyAV."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def read(path):
    with VideoReader(path) as video:
        return list(video)


@pytest.mark.parametrize("size", [(47, 63), (64, 48), (1, 2)])
def test_round_trip_keeps_frames_sizes_and_rate(tmp_path, size):
    path = tmp_path / "a.avi"
    rate = Fraction(30000, 1001)
    assert write_video(path, (plain(color, size) for color in COLORS), rate) == 5
    with VideoReader(path) as video:
        assert (video.fps, video.count) == (rate, 5)
        frames = list(video)
    assert [frame.shape for frame in frames] == [(*size, 3)] * 5
    assert frames[0].dtype == np.uint8
    for frame, color in zip(frames, COLORS, strict=True):
        assert np.abs(frame.astype(int) - color).max() <= 4  # JPEG rounds


@pytest.mark.parametrize("size, written", [((47, 63), (48, 64)), ((64, 48), (64, 48))])
def test_mp4_has_even_sides(tmp_path, size, written):
    path = tmp_path / "a.MP4"
    assert write_video(path, (plain(color, size) for color in COLORS), 10) == 5
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    frames = read(path)
    assert [frame.shape for frame in frames] == [(*written, 3)] * 5
    for frame, color in zip(frames, COLORS, strict=True):
        assert np.abs(frame.astype(int) - color).max() <= 8  # the added row and column too


def test_quality(tmp_path):
    image = data.astronaut()
    write_video(tmp_path / "a.avi", [image] * 12, 30)
    error = read(tmp_path / "a.avi")[-1].astype(float) - image
    # Peak signal to noise: 36.5 dB; with FFmpeg's default, 1 Mbit/s, 29 dB.
    assert 10 * np.log10(255**2 / np.square(error).mean()) > 35


def test_frames_pass_through_one_at_a_time(tmp_path):
    alive, most = weakref.WeakSet(), {"read": 0, "written": 0}

    class Frame(np.ndarray):
        """An array that can be hashed, for the set."""

        __hash__ = object.__hash__
        __eq__ = object.__eq__

    def new_frames():
        for i in range(40):
            frame = plain((i, i, i)).view(Frame)
            alive.add(frame)
            most["written"] = max(most["written"], len(alive))
            yield frame

    write_video(tmp_path / "a.avi", new_frames(), 10)
    assert most["written"] <= 3  # the first, the one before and the new one
    alive.clear()
    with VideoReader(tmp_path / "a.avi") as video:
        for frame in video:
            frame = frame.view(Frame)
            alive.add(frame)
            most["read"] = max(most["read"], len(alive))
    assert most["read"] <= 2


def test_a_failure_leaves_what_came_before(tmp_path):
    def frames():
        yield from map(plain, COLORS[:3])
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_video(tmp_path / "a.avi", frames(), 10)
    assert len(read(tmp_path / "a.avi")) == 3


def test_writing_needs_frames_of_one_size(tmp_path):
    with pytest.raises(ValueError, match=r"none\.avi: expected at least one frame"):
        write_video(tmp_path / "none.avi", [], 10)
    assert not (tmp_path / "none.avi").exists()
    with pytest.raises(ValueError, match=r"\(47, 63, 3\), got \(8, 8, 3\) in frame 1"):
        write_video(tmp_path / "a.avi", [plain(COLORS[0]), plain(COLORS[0], (8, 8))], 10)


@pytest.mark.parametrize(
    ("name", "codec", "count"),
    [("a.mp4", "mpeg4", 5), ("a.mkv", "mpeg4", 5), ("a.mjpeg", "mjpeg", None)],
)
def test_other_formats(tmp_path, name, codec, count):
    path = tmp_path / name
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    write(path, [plain(color, (48, 64)) for color in COLORS], codec, 10, pix_fmt)
    with VideoReader(str(path)) as video:
        assert video.count == count  # a bare stream of pictures announces nothing
        assert len(list(video)) == 5


def test_a_video_that_was_held_upright_comes_upright(tmp_path):
    left_red = plain((0, 0, 200), (32, 64))
    left_red[:, :32] = (200, 0, 0)
    path = tmp_path / "phone.mp4"
    write(path, [left_red] * 3, "mpeg4")
    # The track's matrix a b 0, c d 0, 0 0 1 in 16.16 bits (the last in 2.30): (x, y) is shown at
    # (a x + c y, b x + d y). With a, b, c, d = 0, 1, -1, 0 what was left comes to the top:
    # clockwise.
    one, minus_one, zero = b"\0\1\0\0", b"\xff\xff\0\0", bytes(4)
    last = zero + zero + b"\x40\0\0\0"
    upright = one + zero + zero + zero + one + zero + last
    clockwise = zero + one + zero + minus_one + zero + zero + last
    movie, track = path.read_bytes().rsplit(upright, 1)
    path.write_bytes(movie + clockwise + track)
    frame = read(path)[0]
    assert frame.shape == (64, 32, 3)
    assert np.abs(frame[8, 16].astype(int) - (200, 0, 0)).max() < 12
    assert np.abs(frame[56, 16].astype(int) - (0, 0, 200)).max() < 12


def test_what_is_no_video(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "empty.mp4").write_bytes(b"")
    for name in ("a.txt", "empty.mp4", "missing.mp4", "."):
        with pytest.raises(ValueError, match="expected a video, "):
            VideoReader(tmp_path / name)
    with pytest.raises(ValueError, match=r"missing\.mp4: .*No such file"):
        VideoReader(tmp_path / "missing.mp4")


def test_sound_alone(tmp_path):
    path = tmp_path / "song.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = np.zeros((1, 800), np.int16)
        frame = av.AudioFrame.from_ndarray(sound, format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(ValueError, match=r"song\.wav: .* holds no pictures"):
        VideoReader(path)


def test_no_frame(tmp_path):
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuvj420p"
        container.start_encoding()
    with VideoReader(path) as video, pytest.raises(ValueError, match=r"a\.avi: .* has no frame"):
        list(video)


def test_a_damaged_frame_is_named(tmp_path):
    path = tmp_path / "a.avi"
    write_video(path, map(plain, COLORS), 10)
    parts = path.read_bytes().split(b"00dc")  # in the header once, then before each frame
    parts[4] = parts[4][:4] + bytes(len(parts[4]) - 4)  # its length stays
    path.write_bytes(b"00dc".join(parts))
    with VideoReader(path) as video:
        frames = iter(video)
        assert next(frames)[0, 0, 0] > 150
        assert next(frames)[0, 0, 1] > 150
        with pytest.raises(ValueError, match=r"a\.avi: frame 2 cannot be decoded"):
            next(frames)


def test_without_pyav(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    for use in (lambda: VideoReader("a.mp4"), lambda: write_video("a.avi", [], 10)):
        with pytest.raises(ImportError, match=r"mrcnn\[video\].*\.\[video\]"):
            use()
