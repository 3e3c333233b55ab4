"""The components of the page, and where they stand."""

import types

import gradio as gr

from mrcnn.image.reading import SUFFIXES
from mrcnn.inference.inputs import VIDEOS
from mrcnn.page import comparing, correcting, views
from mrcnn.page.collecting import FORMATS
from mrcnn.page.stage_views import missing_text, views_of

NEW = "a new object"
# System fonts: gradio's own would be fetched.
THEME = gr.themes.Default(
    primary_hue="teal",
    secondary_hue="teal",
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)
CSS = """
.gradio-container, .gradio-container main { max-width: 1400px !important; }
.gradio-container .fillable { padding: 0 !important; }
.gradio-container main { padding: 12px !important; }
.gradio-container footer { display: none !important; }
#head p { margin: 0; }
#page {
  display: grid;
  grid-template: "inputs shown" auto "filters shown" 1fr / 352px minmax(0, 1fr);
}
#picture img, #stage img { max-height: 640px; margin: auto; object-fit: contain; }
#page > .column { min-width: 0 !important; }
#inputs { grid-area: inputs; }
#filters { grid-area: filters; }
#shown { grid-area: shown; }
@media (max-width: 800px) {
  #page { grid-template: "inputs" auto "shown" auto "filters" auto / minmax(0, 1fr); }
  #tiles .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; }
}
"""


def build(models, samples):
    """Lays the page out.

    Args:
        models: one or two `mrcnn.page.models.PageModel`; the second one is compared.
        samples: int, how many pictures there are to try.

    Returns:
        `gr.Blocks`, in which nothing happens yet, and the components by name, a namespace.
    """
    first = models[0]
    with gr.Blocks(title=f"mrcnn: {first.name}", analytics_enabled=False) as blocks:
        parts = types.SimpleNamespace()
        gr.Markdown(_head(models), elem_id="head")
        with gr.Row(elem_id="page"):
            with gr.Column(elem_id="inputs"):
                _inputs(parts, samples)
            with gr.Column(elem_id="filters"):
                _filters(parts, first)
            with gr.Column(elem_id="shown"), gr.Tabs(selected="result") as parts.tabs:
                with gr.Tab("Result", id="result"):
                    _result(parts, first)
                with gr.Tab("Inside", id="inside") as parts.inside:
                    _inside(parts, first)
                if len(models) > 1:
                    with gr.Tab("Compare", id="compare") as parts.compare:
                        _compare(parts, models)
                if first.finds_instances:
                    with gr.Tab("Correct", id="correct") as parts.correct:
                        _correct(parts, first)
    return blocks, parts


def _head(models):
    lines = [f"### {models[0].name}", models[0].facts]
    lines += [f"compared with **{each.name}**: {each.facts}" for each in models[1:]]
    return "\n\n".join(lines)


def _inputs(parts, samples):
    parts.file = gr.File(
        label="Picture or video",
        file_types=[*SUFFIXES, *VIDEOS],
        type="filepath",
        height=140,
        elem_id="file",
    )
    gr.Markdown("Or try one of these:", visible=samples > 0)
    parts.samples = gr.Gallery(
        show_label=False,
        visible=samples > 0,
        columns=3,
        height=216,
        allow_preview=False,
        interactive=False,
        object_fit="cover",
        elem_id="samples",
        buttons=[],
    )


def _filters(parts, model):
    parts.least = gr.Slider(
        0, 1, model.first_score, step=0.01, label="Least score", buttons=[], elem_id="least"
    )
    parts.classes = gr.Dropdown(
        model.names[1:],
        multiselect=True,
        label="Classes",
        info="None chosen: all of them",
        elem_id="classes",
    )
    drawn = ["masks", "boxes", "captions"] if model.has_masks else ["boxes", "captions"]
    if not model.finds_instances:
        drawn = ["masks", "captions"]
    parts.drawn = gr.CheckboxGroup(drawn, value=drawn, label="Draw")
    parts.colors = gr.Radio(["class", "object"], value="class", label="A color for each")


def _result(parts, model):
    parts.picture = _picture("What was found", "picture", show_label=False)
    parts.summary = gr.Markdown("Choose a picture: what the model finds is drawn into it.")
    with gr.Group(visible=False) as parts.video:
        parts.frame = gr.Slider(1, 2, 1, step=1, label="Frame", buttons=[])
        parts.write_video = gr.Button("Draw into all frames", size="sm")
        parts.written = gr.Video(label="Video", visible=False, interactive=False, elem_id="written")
    parts.table = gr.Dataframe(
        headers=list(views.COLUMNS),
        label="Objects",
        interactive=False,
        visible=model.finds_instances,
        max_height=320,
        buttons=[],
    )


def _inside(parts, model):
    names = views_of(model.stages)
    parts.stage_note = gr.Markdown(
        missing_text(model.stages) if names else "Nothing can be seen inside of this model."
    )
    parts.stage = gr.Dropdown(
        names,
        value=names[0] if names else None,
        label="Stage",
        visible=bool(names),
        elem_id="stages",
    )
    with gr.Row(visible=bool(names)):
        parts.count = gr.Slider(1, 100, 20, step=1, label="Boxes drawn", min_width=140, buttons=[])
        parts.overlap = gr.Slider(
            0,
            1,
            0.5,
            step=0.01,
            label="NMS: greatest IoU",
            min_width=140,
            visible=False,
            buttons=[],
        )
    parts.stage_text = gr.Markdown()
    parts.stage_picture = _picture("Stage", "stage", show_label=False)
    parts.stage_tiles = gr.Gallery(
        show_label=False,
        columns=4,
        height="auto",
        visible=False,
        object_fit="contain",
        buttons=[],
        elem_id="tiles",
    )
    parts.stage_table = gr.Dataframe(
        interactive=False, visible=False, max_height=400, buttons=[], wrap=True
    )


def _compare(parts, models):
    parts.pair_text = gr.Markdown()
    with gr.Row():
        parts.pair = [_picture(each.name, f"found_{i}") for i, each in enumerate(models)]
    parts.pair_table = gr.Dataframe(
        headers=comparing.columns([each.name for each in models]),
        interactive=False,
        max_height=320,
        buttons=[],
    )


def _correct(parts, model):
    gr.Markdown(
        "Choose an object here, or click it in the picture of “Result”. Paint **green** what "
        "belongs to it and **red** what does not, or choose another class; then apply. What the "
        "least score or the classes hide is not kept."
    )
    with gr.Row():
        parts.object = gr.Dropdown(
            [NEW], value=NEW, label="Object", min_width=140, elem_id="object"
        )
        parts.object_class = gr.Dropdown(
            model.things, value=model.things[0], label="Class", min_width=140
        )
    parts.editor = _editor()
    with gr.Row():
        parts.apply = gr.Button("Apply", variant="primary", min_width=90)
        parts.remove = gr.Button("Remove object", min_width=90)
        parts.reset = gr.Button("Undo all changes", min_width=90)
    _collection(parts)


def _editor():
    return gr.ImageEditor(
        label="Paint",
        type="numpy",
        image_mode="RGBA",
        sources=[],
        transforms=[],
        layers=False,
        brush=gr.Brush(
            default_size=14,
            colors=[correcting.ADD, correcting.ERASE],
            default_color=correcting.ADD,
            color_mode="fixed",
        ),
        eraser=gr.Eraser(default_size=20),
        canvas_size=(correcting.CANVAS, correcting.CANVAS),
        height=520,
        elem_id="editor",
        buttons=[],
    )


def _collection(parts):
    parts.keep = gr.Button("Keep this picture", min_width=120)
    parts.kept = gr.Markdown("No picture kept yet.")
    parts.format = gr.Radio(list(FORMATS), value="COCO", label="Format of the annotations")
    parts.write = gr.Button("Write the files", min_width=120)
    parts.files = gr.File(
        label="Annotations, and a ZIP with the pictures: unpack it, then mrcnn train FOLDER",
        visible=False,
        interactive=False,
        file_count="multiple",
        elem_id="files",
    )


def _picture(label, name, **options):
    return gr.Image(
        label=label,
        type="numpy",
        format="png",
        interactive=False,
        elem_id=name,
        buttons=["download", "fullscreen"],
        **options,
    )
