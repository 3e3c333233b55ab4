"""What happens on the page: from a component to the session, and back to what is seen."""

import contextlib
import functools
import tempfile
from pathlib import Path

import gradio as gr
import numpy as np

from mrcnn.inference.inputs import VIDEOS
from mrcnn.page import collecting, comparing, correcting, stage_views, views
from mrcnn.page.errors import PageError
from mrcnn.page.layout import NEW
from mrcnn.page.session import Session
from mrcnn.page.stage_views import Look
from mrcnn.page.views import View


def told(handler):
    """A handler whose `PageError`s the visitor sees."""

    @functools.wraps(handler)
    def telling(*arguments):
        try:
            return handler(*arguments)
        except PageError as error:
            raise gr.Error(str(error), duration=20) from error

    return telling


class Events:
    """The handlers of a page; each takes what its components hold, and the session.

    Args:
        models: as of `mrcnn.page.layout.build`.
        parts: the components by name.
        limits: `mrcnn.page.session.Limits`.
        samples: as of `mrcnn.page.pictures.samples_of`.
    """

    def __init__(self, models, parts, limits, samples):
        self.models, self.parts, self.limits = models, parts, limits
        self.samples = samples

    def connect(self, blocks):
        """Attaches the handlers."""
        parts = self.parts
        with blocks:
            session = gr.State(Session, time_to_live=6 * 3600)
            filters = [parts.least, parts.classes, parts.drawn, parts.colors]
            shown = [parts.picture, parts.summary, parts.table]
            opened = [*shown, parts.video, parts.frame, parts.written, parts.tabs]
            redraw = {"show_progress": "hidden", "trigger_mode": "always_last"}
            blocks.load(self.gallery, None, parts.samples)
            parts.file.upload(self.open_file, [parts.file, session, *filters], opened)
            parts.samples.select(self.open_sample, [session, *filters], [*opened, parts.file])
            for each in filters:
                each.change(self.redraw, [session, *filters], shown, **redraw)
            parts.frame.change(self.show_frame, [parts.frame, session, *filters], shown, **redraw)
            parts.write_video.click(self.write_video, [session, *filters], parts.written)
            self._connect_inside(session, redraw)
            if len(self.models) > 1:
                seen = [parts.pair_text, *parts.pair, parts.pair_table]
                given = [session, *filters]
                parts.compare.select(self.compare, given, seen)
                for each in filters:
                    each.change(self.compare_again, given, seen, **redraw)
            if self.models[0].finds_instances:
                self._connect_correcting(session, filters, shown)

    def _connect_inside(self, session, redraw):
        parts = self.parts
        seen = [parts.stage_text, parts.stage_picture, parts.stage_tiles, parts.stage_table]
        given = [parts.stage, parts.count, parts.overlap, parts.least, session]
        parts.inside.select(self.look, given, seen)
        parts.stage.change(self.choose_stage, parts.stage, parts.overlap).then(
            self.look, given, seen
        )
        for each in (parts.count, parts.overlap):
            each.change(self.look, given, seen, **redraw)
        parts.least.change(self.look_again, given, seen, **redraw)

    def _connect_correcting(self, session, filters, shown):
        parts = self.parts
        chosen = [parts.object, parts.object_class, parts.editor]
        drawn = [parts.picture, parts.summary, parts.table]
        parts.correct.select(self.offer, [session, *filters], chosen)
        parts.picture.select(self.click, [session, *filters], [*chosen, parts.tabs])
        parts.object.input(self.choose_object, [parts.object, session], chosen[1:])
        given = [parts.object, parts.object_class, parts.editor, session, *filters]
        parts.apply.click(self.apply, given, [*chosen, *drawn])
        parts.remove.click(self.remove, [parts.object, session, *filters], [*chosen, *drawn])
        parts.reset.click(self.undo, [session, *filters], [*chosen, *drawn])
        parts.keep.click(self.keep, [session, *filters], parts.kept)
        parts.write.click(self.write, [parts.format, session], parts.files)

    # Pictures.

    def gallery(self):
        return [image for _, image in self.samples]

    @told
    def open_file(self, path, session, progress=gr.Progress(), *filters):  # noqa: B008
        if Path(path).suffix.lower() in VIDEOS:
            with _import_told():
                for done, count in session.open_clip(self.models[0], path, self.limits):
                    progress((done, count), desc="Looking at the frames", unit="frames")
        else:
            image = self.models[0].read(path, self.limits.pixels)
            session.open(self.models[0], image, Path(path).name, path)
        return self._opened(session, filters)

    @told
    def open_sample(self, event: gr.SelectData, session, *filters):
        name, image = self.samples[event.index]
        session.open(self.models[0], image, f"{name}.png")
        return *self._opened(session, filters), None

    def _opened(self, session, filters):
        clip = session.clip
        frame = gr.skip()
        if clip is not None:
            label = f"Frame of {len(clip.found)}" + (
                f", one of every {clip.step}" * (clip.step > 1)
            )
            frame = gr.Slider(maximum=max(2, len(clip.found)), value=1, label=label)
        video = gr.Group(visible=clip is not None)
        written = gr.Video(value=None, visible=False)
        return *self._shown(session, filters), video, frame, written, gr.Tabs(selected="result")

    def _shown(self, session, filters):
        """The picture, its summary and its table."""
        if session.corrected is None:
            return gr.skip(), gr.skip(), gr.skip()
        found, view = session.corrected, view_of(*filters)
        chosen = views.choose(found, view)
        summary = f"{session.name}: {views.summary(found, chosen)}"
        return views.draw(found, view), summary, views.rows(found, chosen)

    def redraw(self, session, *filters):
        return self._shown(session, filters)

    @told
    def show_frame(self, number, session, *filters):
        if session.clip is not None:
            session.show_frame(min(int(number), len(session.clip.found)) - 1)
        return self._shown(session, filters)

    @told
    def write_video(self, session, *filters):
        path = Path(tempfile.mkdtemp()) / f"{session.clip.name}_found.mp4"
        session.clip.write(path, view_of(*filters))
        return gr.Video(value=str(path), visible=True)

    # Stages.

    def choose_stage(self, name):
        settings = self.models[0].model.settings
        rules = {
            stage_views.PROPOSAL_NMS: settings.proposals,
            stage_views.DETECTION_NMS: settings.detections,
        }
        if name not in rules:
            return gr.Slider(visible=False)
        return gr.Slider(visible=True, value=rules[name].nms_threshold)

    def look_again(self, name, count, overlap, least, session):
        """After the least score changed: where the stages were looked at."""
        if not session.looked:
            return [gr.skip()] * 4
        return self.look(name, count, overlap, least, session)

    @told
    def look(self, name, count, overlap, least, session):
        model = self.models[0]
        if session.image is None or name is None:
            hint = "Choose a picture first." if session.image is None else ""
            return hint, gr.skip(), gr.skip(), gr.skip()
        has_limit = name in (stage_views.PROPOSAL_NMS, stage_views.DETECTION_NMS)
        look = Look(int(count), least, overlap if has_limit else None)
        stages = session.stages(model)
        seen = stage_views.see(name, session.image, stages, model.names, look)
        table = gr.Dataframe(visible=False)
        if seen.rows:
            table = gr.Dataframe(value=seen.rows, headers=list(seen.columns), visible=True)
        return (
            seen.text,
            gr.Image(value=seen.picture, visible=seen.picture is not None),
            gr.Gallery(value=seen.tiles, visible=bool(seen.tiles)),
            table,
        )

    # Two models.

    def compare_again(self, session, *filters):
        """After a filter changed: where the two were compared."""
        if not session.has_found(self.models[1]):
            return [gr.skip()] * 4
        return self.compare(session, *filters)

    @told
    def compare(self, session, *filters):
        if session.image is None:
            return "Choose a picture first.", gr.skip(), gr.skip(), gr.skip()
        view = view_of(*filters)
        found = [session.found, session.found_by(self.models[1], self.limits)]
        found = [views.without_map(each)[views.choose(each, view)] for each in found]
        pairs = comparing.match(*found)
        drawn = [
            views.draw(each, view, comparing.colors(each.count, {pair[k] for pair in pairs}))
            for k, each in enumerate(found)
        ]
        text = comparing.summary(*found, pairs, [each.name for each in self.models])
        return text, *drawn, comparing.rows(*found, pairs)

    # Corrections.

    def offer(self, session, *filters, index=None):
        """The objects to choose from, and the chosen one to paint."""
        if session.corrected is None:
            return gr.skip(), gr.skip(), gr.skip()
        found, view = session.corrected, view_of(*filters)
        chosen = views.choose(found, view)
        if index is None or index not in chosen:
            index = int(chosen[0]) if len(chosen) else None
        labels = [_label(found, i) for i in chosen]
        value = NEW if index is None else _label(found, index)
        return gr.Dropdown([*labels, NEW], value=value), *self._canvas(session, index)

    def _canvas(self, session, index):
        found, things = session.corrected, self.models[0].things
        class_id = 1 if index is None else int(found["class_ids"][index])
        canvas, mask = session.canvas(index)
        picture = canvas.picture(session.image, mask, class_id)
        blank = {"background": picture, "layers": [], "composite": None}
        return things[class_id - 1], blank

    def click(self, event: gr.SelectData, session, *filters):
        """A click into the picture chooses the object there, and leads to its correction."""
        found = session.corrected
        if found is None:
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        scale = views.scale_of(np.shape(session.image))
        x, y = (int(part / scale) for part in event.index)
        chosen = views.choose(found, view_of(*filters))
        hit = views.instance_at(found[chosen], x, y)
        if hit is None:
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        offered = self.offer(session, *filters, index=int(chosen[hit]))
        return *offered, gr.Tabs(selected="correct")

    @told
    def choose_object(self, label, session):
        if session.corrected is None:
            raise PageError("expected a picture, received none; drop one, or choose a sample")
        return self._canvas(session, _index(label))

    @told
    def apply(self, label, name, painted, session, *filters):
        if session.corrected is None:
            raise PageError("expected a picture, received none; drop one, or choose a sample")
        layers = [] if painted is None else painted["layers"]
        index, class_id = _index(label), self.models[0].things.index(name) + 1
        session.paint(index, class_id, layers)
        index = session.corrected.count - 1 if index is None else index
        return *self.offer(session, *filters, index=index), *self._shown(session, filters)

    @told
    def remove(self, label, session, *filters):
        index = _index(label)
        if index is None or session.corrected is None:
            raise PageError("expected an object, received a new one; choose the one to remove")
        session.correct(correcting.remove, index)
        return *self.offer(session, *filters), *self._shown(session, filters)

    def undo(self, session, *filters):
        session.corrected = session.found
        return *self.offer(session, *filters), *self._shown(session, filters)

    @told
    def keep(self, session, *filters):
        chosen = (
            [] if session.corrected is None else views.choose(session.corrected, view_of(*filters))
        )
        session.keep(chosen, self.limits)
        return collecting.counts(session.kept)

    @told
    def write(self, kind, session):
        annotations, archive = session.write(self.models[0].things, kind)
        return gr.File(value=[annotations, archive], visible=True)


def view_of(least, classes, drawn, colors):
    """The `View` that the filters describe."""
    return View(least, tuple(classes or ()), tuple(drawn), colors == "object")


def _label(found, index):
    """What an object is called where it is chosen: its number, class and score."""
    (row,) = views.rows(found, [index])
    return f"{row[0]}: {row[1]} {row[2]:.2f}"


def _index(label):
    """The index of an object by what it is called; None of a new one."""
    return None if label in (None, NEW) else int(label.partition(":")[0]) - 1


@contextlib.contextmanager
def _import_told():
    """Says on the page which package is missing."""
    try:
        yield
    except ImportError as error:
        raise PageError(str(error)) from error
