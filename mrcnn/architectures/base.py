"""`DetectionModel`: build, train, detect. What users touch; the maths is elsewhere."""

import keras

from mrcnn.architectures.files import ModelFiles
from mrcnn.architectures.training import ModelTraining
from mrcnn.image.channels import Channels
from mrcnn.inference.detections import Detections
from mrcnn.inference.detector import Detector
from mrcnn.inference.images import check_images, read_images
from mrcnn.inference.inspection import Inspection
from mrcnn.inference.proposals import check_count, check_wanted
from mrcnn.inference.tiling import TiledDetector
from mrcnn.inference.tta import AugmentedDetector, TiledAugmentedDetector
from mrcnn.parallel import devices_for
from mrcnn.settings import Settings, check_config
from mrcnn.training.loop import make_deterministic

# By whether images are cut into tiles, and detected in in several forms.
_DETECTORS = {
    (False, False): Detector,
    (True, False): TiledDetector,
    (False, True): AugmentedDetector,
    (True, True): TiledAugmentedDetector,
}


class DetectionModel(Inspection, ModelFiles, ModelTraining):
    """What every architecture of the family does; a subclass says what is its own.

    Args:
        mode: "training" or "inference". A training model detects too.
        config: a `Config`, validated here.
        model_dir: str, folder of logs and checkpoints, here or remote, s3://bucket/logs; nothing is
            written before training.

    Attributes:
        keras_model: the `keras.Model` of the mode.
        graphs: dict of `keras.Model` that share their weights: "inference", "detection" and, in
            training mode, "training"; see `mrcnn.network.mask_rcnn.build_graphs`.
        devices: `mrcnn.parallel.Devices` or `OneDevice`, that the graphs compute on.
        detector: `mrcnn.inference.detector.Detector`, around graphs["detection"].
        settings: `mrcnn.settings.Settings`, read from the config when the model was built.
        class_names: list of names by class id, "BG" first, or None: those of the data that it was
            trained on, or of the weights that it loaded.
        keypoint_scheme: `mrcnn.data.KeypointScheme`, or None: from the same places.
        epoch: int, epochs that the weights were trained for.
        runs: `mrcnn.training.remote_runs.RunsHere`, or `RemoteRuns` of a remote `model_dir`.
        log_dir: str, where the next training writes; of a remote run the folder of this machine
            whose files are copied.
        checkpoint_path: str, with a field `{epoch:04d}`.

    Raises:
        ValueError: unknown mode, or keys of the config that cannot work together.
    """

    # What a subclass sets:
    architecture = None  # the value of `Config.ARCHITECTURE`
    weight_names = None  # `mrcnn.weights.names.WeightNames`
    build_graphs = None  # function (settings, training) -> `graphs`
    unmold = None  # function of the form that `Detector` takes
    # And what may differ, beside `generator_type`:
    further_scores = {}  # noqa: RUF012  by name the class of a scorer, see `mrcnn.evaluate.detecting`
    finds_instances = True  # whether COCO's numbers mean anything
    finds_segments = False  # whether results have a panoptic map
    uses_anchors = True  # whether RPN_ANCHOR_SCALES matter
    monitor = None  # what names the best checkpoint; None: the AP of keypoints, masks or boxes

    class_names = None
    keypoint_scheme = None

    def __init__(self, mode, config, model_dir):
        if mode not in ("training", "inference"):
            raise ValueError(f'mode is {mode!r}; expected "training" or "inference"')
        check_config(config)
        config.validate()
        if self.architecture != config.ARCHITECTURE:
            raise ValueError(
                f"ARCHITECTURE is {config.ARCHITECTURE!r} and {type(self).__name__} is "
                f"{self.architecture!r}; mrcnn.model.create builds the class that a config is for"
            )
        self.mode, self.config = mode, config
        self.model_dir = model_dir
        self.keras_model = self.build(mode, config)
        self.set_log_dir()

    def build(self, mode, config):
        """Builds the graphs and returns that of the mode."""
        self.settings = Settings.from_config(config)
        if self.settings.runtime.seed is not None:
            make_deterministic(self.settings.runtime.seed)
        self.devices = devices_for(self.settings.runtime.devices)
        with self.devices.scope():
            self.graphs = self.build_graphs(self.settings, training=mode == "training")
        self.graphs["detection"].jit_compile = self._jit_compile
        tiled, augmented = self.settings.tiles.size is not None, self.settings.test_time.enabled
        detector_type = _DETECTORS[tiled, augmented]
        self.detector = detector_type(
            self.graphs["detection"], self.settings, self.unmold, self.devices.predict
        )
        return self.graphs[mode]

    @property
    def _jit_compile(self):
        # JAX has no other way than XLA; TensorFlow asks the config.
        return self.settings.runtime.jit_compile or keras.backend.backend() == "jax"

    # Detection.

    def detect(self, images, verbose=0, stream=False, progress=None, proposals=None):
        """Finds the objects in images of any number and any sizes. Threads may call it at once.

        Args:
            images: list of arrays [H, W, C] or [H, W], of paths, or of both; one array
                [B, H, W, C] is taken as the list of its B images. Files are read by
                `mrcnn.image.Channels`. uint8 as it is; uint16 scaled from its full range to
                0..255; floats on the scale of 0..255. Grey images are repeated into three
                channels, alpha is dropped; for other counts see `mrcnn.image.to_model_image`.
            verbose: 1 prints the shapes and ranges of what goes in and comes out.
            stream: bool; True takes any iterable and returns a generator of the results, which
                keeps the images of one batch only in memory.
            progress: function of how many tiles of a large image are done, and of how many there
                are; or None.
            proposals: with `USE_RPN_ROIS = False` alone, and then needed: for each image boxes
                [N, 4] = y1 x1 y2 x2 in pixels of the image as given, the best first, of which
                `POST_NMS_ROIS_INFERENCE` count; np.zeros((0, 4)) where there are none. A list, or
                of a stream any iterable.

        Returns:
            list of `mrcnn.inference.Detections`, dicts, one for each image, best detection first:
            `rois` int32 [n, 4] y1 x1 y2 x2 in pixels, `boxes` float32 [n, 4] the same before
            rounding, `class_ids` int32 [n], `scores` float32 [n], with `USE_MASK` `masks` bool
            [H, W, n] and with `USE_KEYPOINTS` `keypoints` float32 [n, K, 3] = y x in pixels, score.
            The result for an image does not depend on the others. It refers to its
            image, as given or read; from a stream it does not. With `TILE_SIZE` larger images are
            detected in by tiles, of files without the rest where `mrcnn.image.open_regions` can;
            `masks` are `mrcnn.image.CroppedMasks` then.

        Raises:
            ValueError: an image or proposals that cannot be used, named by its place in the list.
        """
        check_images(images, stream)
        check_wanted(self.settings, proposals)
        channels = Channels.of(self.settings.image)
        images = read_images(images, self.detector, channels, self.settings.tiles.size)
        self.detector.keypoint_scheme = self.keypoint_scheme
        if stream:
            results = self.detector.stream(images, proposals, progress=progress)
            return (self._detections(found, None) for found in results)
        images = list(images)
        check_count(images, proposals)
        options = {"progress": progress, "proposals": proposals}
        results = self.detector.detect(images, verbose, **options)
        return [
            self._detections(found, image) for found, image in zip(results, images, strict=True)
        ]

    def detect_molded(self, molded_images, image_metas, verbose=0, proposals=None):
        """As `detect`, for what `mold_inputs` or a data generator returned.

        Args:
            molded_images: float [B, H, W, C].
            image_metas: float [B, META].
            verbose: 1 prints the shapes and ranges of what goes in and comes out.
            proposals: as of `detect`, in pixels of the molded images.

        Returns:
            list of `Detections` as of `detect`, without an image; boxes and masks are those of the
            molded images.
        """
        results = self.detector.detect_molded(molded_images, image_metas, verbose, proposals)
        return [self._detections(found, None) for found in results]

    def _detections(self, found, image):
        return Detections(found, image, self.class_names, self.keypoint_scheme)

    def __reduce_ex__(self, protocol):
        raise TypeError(
            f"{type(self).__name__} cannot be pickled or copied: build another one from the same "
            "config, and load what save_weights(path) wrote"
        )
