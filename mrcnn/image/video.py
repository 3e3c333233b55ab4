"""Videos frame by frame, in constant memory whatever their length; PyAV is imported here only.

A frame is an RGB array `[H, W, 3]`, uint8.
"""

import itertools
import os

import numpy as np

# Container, codec, form of the pixels, options. Of Motion JPEG's 1 (best) to 31 the best is needed:
# the bit rate that is the default leaves blocks. MP4 begins with its index: it plays as it loads.
_AVI = ("avi", "mjpeg", "yuvj420p", {"qmin": "2", "qmax": "2"}, {})
_MP4 = ("mp4", "libx264", "yuv420p", {"crf": "18", "preset": "veryfast"}, {"movflags": "faststart"})


def import_av():
    """Returns PyAV; an ImportError says how to install it."""
    try:
        import av
    except ImportError:
        raise ImportError(
            "videos need PyAV, which is not installed: pip install 'mrcnn[video]', "
            "or pip install '.[video]' in a clone"
        ) from None
    return av


class VideoReader:
    """The frames of a video, each decoded when it is asked for, turned as a player shows them.

    Args:
        path: a file of any format that FFmpeg reads, or a URL.

    Attributes:
        fps: Fraction, frames a second on average; None where the file does not tell.
        count: int, how many frames the file announces; None where it does not tell.

    Raises:
        ValueError: it cannot be read, or holds no pictures; while iterating: a frame is damaged,
            or there is none.

    Example:

    >>> with VideoReader("party.mp4") as video:  # doctest: +SKIP
    ...     for frame in video:
    ...         model.detect([frame])
    """

    def __init__(self, path):
        self._av, self._path = import_av(), os.fspath(path)
        try:
            self._container = self._av.open(self._path)
        except self._av.error.FFmpegError as error:
            raise ValueError(f"{path}: expected a video, {error.strerror}") from None
        if not self._container.streams.video:
            self._container.close()
            raise ValueError(f"{path}: expected a video, this file holds no pictures")
        self._stream = self._container.streams.video[0]
        self.fps = self._stream.average_rate or self._stream.guessed_rate
        self.count = self._stream.frames or self._estimate_count()

    def _estimate_count(self):
        duration = self._container.duration  # microseconds
        return round(duration / self._av.time_base * self.fps) if duration and self.fps else None

    def __iter__(self):
        frames = self._container.decode(self._stream)
        for number in itertools.count():
            try:
                frame = next(frames, None)
            except self._av.error.FFmpegError as error:
                raise ValueError(
                    f"{self._path}: frame {number} cannot be decoded, {error.strerror}; the file "
                    "is damaged or cut short"
                ) from None
            if frame is None:
                break
            # Phones write portrait videos sideways, with an angle. rot90 turns the same way.
            yield np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
        if not number:
            raise ValueError(f"{self._path}: expected a video, this file has no frame")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._container.close()


def write_video(path, frames, fps):
    """Writes Motion JPEG in an AVI file, each frame as soon as it comes; or H.264 in an MP4 file.

    Should `frames` raise, the video with the frames so far is complete.

    Args:
        path: the file, replaced if it exists; ".mp4" is MP4, which browsers play.
        frames: iterable of frames of one size; any size, odd sides too. In MP4, whose sides are
            even, the last row or column is there twice then.
        fps: number or Fraction, frames a second; None: 24.

    Returns:
        int, the number of frames.

    Raises:
        ImportError: PyAV is missing.
        ValueError: there is no frame, or one of another size.
    """
    av, frames = import_av(), iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"{path}: expected at least one frame, got none")
    shape, number, path = first.shape, 0, os.fspath(path)
    is_mp4 = path.lower().endswith(".mp4")
    kind, codec, pixels, options, options_of_file = _MP4 if is_mp4 else _AVI
    missing = [side % 2 if is_mp4 else 0 for side in shape[:2]]
    with av.open(path, "w", format=kind, options=options_of_file) as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = np.add(shape[:2], missing).tolist()
        stream.pix_fmt = pixels
        for number, frame in enumerate(itertools.chain([first], frames), 1):
            if frame.shape != shape:
                raise ValueError(
                    f"{path}: expected frames of shape {shape}, got {frame.shape} in frame "
                    f"{number - 1}"
                )
            if any(missing):
                frame = np.pad(frame, [*((0, side) for side in missing), (0, 0)], "edge")
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return number
