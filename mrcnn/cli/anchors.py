"""`mrcnn anchors`: how well anchors fit a data set, and which would fit better."""

from mrcnn.cli.config_arguments import add_config_arguments, make_config
from mrcnn.cli.data_arguments import add_data_arguments, load_data


def add_parser(commands):
    """Adds the command to the subparsers of `mrcnn`."""
    parser = commands.add_parser(
        "anchors",
        help="suggest anchor scales and ratios for a data set",
        description="Measures the boxes as the network sees them with this config. The last line "
        "of the output is ready for `mrcnn train`.",
    )
    add_data_arguments(parser)
    parser.add_argument("--subset", help="this subset only, train for example")
    add_config_arguments(parser)
    parser.set_defaults(run=_anchors)


def _anchors(arguments):
    import numpy as np

    from mrcnn.data.checking import anchors
    from mrcnn.progress import Progress
    from mrcnn.settings import Settings

    config = make_config(arguments)
    settings = Settings.from_config(config)
    dataset = load_data(arguments, arguments.data, arguments.subset, config)
    with Progress("anchors", len(dataset.image_ids)) as progress:
        boxes = anchors.object_boxes(dataset, settings, progress.advance)
    now = anchors.AnchorFit.of(
        boxes,
        settings.anchors.scales,
        settings.anchors.ratios,
        np.array(settings.anchors.strides) * settings.anchors.anchor_stride,
    )
    found = anchors.suggest_anchors(boxes, settings.anchors)
    heights, widths = (boxes[:, 2:] - boxes[:, :2]).T
    print(
        f"{len(boxes)} objects in {len(dataset.image_ids)} pictures, in the network's pixels\n"
        f"root of the area: {_spread(np.sqrt(heights * widths))}\n"
        f"width / height: {_spread(widths / heights)}\n\n"
        f"{'IoU with the best anchor':30} {'>= 0.5':>8} {'>= 0.7':>8} {'mean':>6}"
    )
    _print_row("now", now)
    if found == now:
        print("\nothers would hardly fit better; today's are")
    else:
        _print_row("suggested", found)
        print()
    more = anchors.suggest_anchors(boxes, settings.anchors, anchors.MORE_RATIOS)
    if more.fitness >= found.fitness + anchors.MORE_GAIN:
        _print_row(f"with {len(more.ratios)} ratios", more)
        print(
            f"{more.assignments}\nAnother number of ratios needs new RPN weights: "
            'load_weights(..., exclude=["rpn_class_raw", "rpn_bbox_pred"])\n'
        )
    print(found.assignments)


def _print_row(name, fit):
    print(f"{name:30} {100 * fit.recall:6.1f} % {100 * fit.trained:6.1f} % {fit.mean:6.3f}")


def _spread(values):
    import numpy as np

    low, middle, high = np.percentile(values, [1, 50, 99])
    return f"{low:.3g} to {high:.3g} for 98 of 100, half of them {middle:.3g} or more"
