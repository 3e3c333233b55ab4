"""Videos: a number of frames over their whole length, and what was found in each.

A frame is an RGB array [H, W, 3].
"""

import itertools
import os

from mrcnn.image.video import VideoReader, write_video
from mrcnn.page.errors import PageError
from mrcnn.page.views import draw


class Clip:
    """A video of a visitor.

    Args:
        path: of the file.
        max_frames: int, frames that are looked at; of longer ones every second, third, ...
        max_pixels: int, height times width of a frame at most.

    Attributes:
        step: int, frames of the file from one that is looked at to the next.
        found: list of `Detections` without image, one for each frame that was looked at.

    Raises:
        PageError: it cannot be read, or is larger.
        ImportError: PyAV is missing.
    """

    def __init__(self, path, max_frames, max_pixels):
        self.path, self.name, self.found = path, os.path.splitext(os.path.basename(path))[0], []
        self._max_frames = max_frames
        try:
            with VideoReader(path) as video:
                count = video.count or max_frames
                self.fps, frame = video.fps or 24, next(iter(video))
        except ValueError as error:
            raise PageError(str(error)) from error
        height, width = frame.shape[:2]
        if height * width > max_pixels:
            raise PageError(
                f"expected frames of at most {max_pixels} pixels, received {height} x {width}; "
                "make the video smaller, or start the page with a larger --max-pixels"
            )
        self.step = -(-count // max_frames)
        self.expected = min(max_frames, -(-count // self.step))

    def frames(self):
        """Yields the frames that are looked at, one at a time.

        Raises:
            PageError: a frame is damaged.
        """
        try:
            with VideoReader(self.path) as video:
                yield from itertools.islice(video, 0, self.step * self._max_frames, self.step)
        except ValueError as error:
            raise PageError(str(error)) from error

    def detect(self, model):
        """Looks at the frames one after another; yields how many are done.

        Args:
            model: `mrcnn.page.models.PageModel`.
        """
        self.found = []
        for frame in self.frames():
            found = model.detect(frame)
            found.image = None
            self.found.append(found)
            yield len(self.found)

    def frame(self, index):
        """The result of a frame, with its image."""
        found = self.found[index].copy()
        found.image = next(itertools.islice(self.frames(), index, None))
        return found

    def write(self, path, view):
        """Writes the frames with what a view has drawn into them, for a browser to play.

        Args:
            path: ends in ".mp4".
            view: `mrcnn.page.views.View`.
        """

        def drawn():
            for frame, found in zip(self.frames(), self.found, strict=False):
                shown = found.copy()
                shown.image = frame
                yield draw(shown, view)

        write_video(path, drawn(), self.fps / self.step)
