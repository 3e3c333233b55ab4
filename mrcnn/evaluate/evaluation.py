"""`Evaluation`: what a model found in a data set beside the truth, and every score of it."""

import numpy as np

from mrcnn.evaluate import coco, contest, keypoints, pictures, resampling, saved, score_thresholds
from mrcnn.evaluate.annotations import complete, complete_results, to_instances
from mrcnn.evaluate.detecting import detect_dataset, detection_limit, further_scorers
from mrcnn.evaluate.matches import match_classes


class Evaluation:
    """Detections beside ground truth. Scores are computed when they are first asked for.

    An `iou_type` is "bbox", "segm", "boundary" or "keypoints", by default "segm" if the detections
    have masks, else "bbox", and "keypoints" where they have nothing else. Score thresholds are by
    default those of the best F1, see `best_scores`. What `detect` left out for its low score cannot
    be scored: detect with a low DETECTION_MIN_CONFIDENCE, as 0.05, to choose one.

    Args:
        ground_truth: as from `coco_ground_truth`, or a COCO annotation file's content.
        results: list of dicts as from `coco_results`, or a COCO result file's content.
        max_detections: the most confident detections of a class in an image that count.
        backend: what scores, as in `mrcnn.evaluate.accumulate`.

    Attributes:
        ground_truth, results: in COCO's format; outlines are run-length codes.
        iou_types: which of "bbox", "segm" and "keypoints" all detections have.
        further: {name: scores} of what a model was scored by beside.
        class_names: list in the order of the category ids, as the rows of all tables.

    Raises:
        ValueError: files of another format, or detections of other images, classes or sizes than
            the ground truth's.

    Example:

    >>> evaluation = Evaluation.of(model, dataset)
    >>> evaluation.scores["segm"]["AP50"], evaluation.best_scores()["score"]
    """

    def __init__(self, ground_truth, results, max_detections=100, backend="pycocotools"):
        coco.check_backend(backend)
        self.ground_truth = complete(ground_truth)
        saved.check_results(self.ground_truth, results)
        self.results = complete_results(results)
        self.max_detections, self.backend = max_detections, backend
        self.iou_types = coco.iou_types_of(self.ground_truth, results)
        categories = sorted(self.ground_truth["categories"], key=lambda each: each["id"])
        self._category_ids = [each["id"] for each in categories]
        self.class_names = [str(each["name"]) for each in categories]
        self._made, self.further = {}, {}

    @classmethod
    def of(
        cls,
        model,
        dataset,
        image_ids=None,
        max_detections=None,
        verbose=0,
        backend="pycocotools",
        skip_broken=False,
    ):
        """Detects in images of a dataset.

        Args:
            model, dataset, image_ids, max_detections, verbose, backend: as in
                `mrcnn.evaluate.evaluate`.
            skip_broken: bool, whether an image that cannot be loaded is left out with a warning.
        """
        coco.check_backend(backend)
        scorers = further_scorers(model, dataset)
        found = detect_dataset(model, dataset, image_ids, verbose, skip_broken, scorers.values())
        evaluation = cls(*found, detection_limit(model, max_detections), backend)
        evaluation.further = {name: scorer.scores() for name, scorer in scorers.items()}
        return evaluation

    # Files.

    def save(self, folder):
        """Writes `ground_truth.json`, `detections.json` (COCO's formats) and `scores.json`."""
        saved.write(folder, self.ground_truth, self.results, self.max_detections, self.scores)

    @classmethod
    def load(cls, folder, dataset=None, backend="pycocotools"):
        """Reads what `save` wrote; no model is needed.

        Args:
            folder: that `save` was given.
            dataset: a prepared `Dataset` that the detections have to be of, or None for any.
            backend: as in the constructor.

        Raises:
            ValueError: the detections were made for another ground truth.
        """
        *found, further = saved.read(folder, dataset)
        evaluation = cls(*found, backend)
        evaluation.further = further
        return evaluation

    # Scores of all pictures.

    @property
    def scores(self):
        """{iou_type: COCO's 12 numbers}, and `further`, as of `mrcnn.evaluate.evaluate`."""
        return {kind: self._summary(kind) for kind in self._scored} | self.further

    @property
    def _scored(self):
        """Those of `iou_types` that say something."""
        return coco.scored(self.iou_types, self.ground_truth, self.further)

    def boundary_scores(self):
        """COCO's 12 numbers with boundary IoU, see `mrcnn.evaluate.boundary`; needs masks."""
        return self._summary("boundary")

    def per_class(self, iou_type=None):
        """Scores of each class.

        Returns:
            list of dicts, in the order of the category ids: `id`, `name`, `AP`, `AP50`, `AR`, nan
            for a class without objects; `objects` without crowds, and `detections`, those beyond
            `max_detections` left out.
        """
        arrays = self._accumulated(iou_type).eval
        precision, recall = arrays["precision"][..., 0, -1], arrays["recall"][..., 0, -1]
        rows = []
        for k, matches in enumerate(self._matches(iou_type)):
            row = {"id": self._category_ids[k], "name": self.class_names[k]}
            row["AP"] = coco.mean(precision[:, :, k])
            row["AP50"] = coco.mean(precision[0, :, k])
            row["AR"] = coco.mean(recall[:, k])
            row |= {"objects": int(matches.objects.sum()), "detections": len(matches.images)}
            rows.append(row)
        return rows

    def precision_recall(self, iou=0.5, iou_type=None):
        """COCOeval's curves of each class, with C classes and R = 101 recalls.

        Returns:
            dict: `recall` [R]; `precision` [C, R], the best at this recall or beyond; `scores`
            [C, R], the score of the detection that reaches it, 0 where none does; both nan for a
            class without objects; `AP` [C].
        """
        evaluation, t = self._accumulated(iou_type), self._threshold(iou)
        there = evaluation.eval["precision"][t, :, :, 0, -1].T  # (C, R)
        scores = evaluation.eval["scores"][t, :, :, 0, -1].T
        precision = np.where(there < 0, np.nan, there)
        return {
            "recall": np.asarray(evaluation.params.recThrs),
            "precision": precision,
            "scores": np.where(there < 0, np.nan, scores),
            "AP": precision.mean(axis=1),
        }

    # Score thresholds.

    def best_scores(self, iou=0.5, iou_type=None):
        """The score threshold of the best F1, of all classes together and of each.

        Returns:
            dict: `key`, the `Config` key that `score` belongs in (it takes one number: those of
            classes are for scripts of one's own); `score`, `f1`, `precision`, `recall`;
            `classes`, for each class a dict of `id`, `name` and the same four.
        """
        t, classes = self._threshold(iou), self._matches(iou_type)
        each = [
            {"id": category_id, "name": name, **score_thresholds.best_threshold([matches], t)}
            for category_id, name, matches in zip(
                self._category_ids, self.class_names, classes, strict=True
            )
        ]
        return {
            "key": score_thresholds.KEY,
            **score_thresholds.best_threshold(classes, t),
            "classes": each,
        }

    def score_curves(self, iou=0.5, iou_type=None, steps=1001):
        """Precision, recall and F1 over the score threshold.

        Returns:
            dict: `scores` [steps] from 0 to 1; `precision`, `recall`, `f1`, each [1 + C, steps]:
            of all classes together first, then of each.
        """
        t, classes = self._threshold(iou), self._matches(iou_type)
        scores = np.linspace(0, 1, steps)
        groups = [classes, *([matches] for matches in classes)]
        curves = [score_thresholds.score_curves(group, t, scores) for group in groups]
        return {"scores": scores} | {
            name: np.stack([curve[name] for curve in curves]) for name in curves[0]
        }

    def count_errors(self, score=None, iou_type=None):
        """Errors of the number of objects in a picture, see `score_thresholds.count_errors`."""
        score = self._score(score, iou_type)
        return score_thresholds.count_errors(self._matches(iou_type), 0, score)

    # Pictures.

    def confusion(self, iou=0.5, score=None, iou_type=None):
        """Counts what each object was taken for, see `pictures.confusion_matrix`.

        Returns:
            int [1 + C, 1 + C], rows the truth, columns the detections, background first.
        """
        score = self._score(score, iou_type)
        return pictures.confusion_matrix(
            self._pictures(iou_type), len(self.class_names), iou, score
        )

    def errors(self, iou=0.5, score=None, iou_type=None):
        """What is wrong in each picture, the worst first, see `pictures.picture_errors`."""
        score = self._score(score, iou_type)
        return pictures.picture_errors(self._pictures(iou_type), iou, score)

    def contest(self, score=0.0, iou_type=None):
        """The 2018 Data Science Bowl's score of what scores at least `score`, see `contest`."""
        return contest.contest_score(self._pictures(iou_type), score)

    def instances(self, image_id, score=None):
        """The truth of an image, and its detections from a score on, for drawing.

        Args:
            image_id: id in the ground truth.
            score: float, least score of a detection.

        Returns:
            Two dicts as of `mrcnn.evaluate.to_instances`.
        """
        picture = next(each for each in self._pictures(None) if each.image_id == image_id)
        image = next(each for each in self.ground_truth["images"] if each["id"] == image_id)
        shown = picture.results[picture.scores >= self._score(score, None)]
        groups = (
            [self.ground_truth["annotations"][i] for i in picture.annotations],
            [self.results[i] for i in shown],
        )
        return [to_instances(group, image["height"], image["width"]) for group in groups]

    # Certainty.

    def intervals(self, n=1000, seed=0, level=0.95):
        """Bootstrap intervals over pictures, see `mrcnn.evaluate.resampling`.

        Args:
            n: int, samples of the pictures.
            seed: int.
            level: float, share of the samples within an interval.

        Returns:
            {iou_type: {name: (low, high)}} of AP, AP50, AP75 and AR of `max_detections`.
        """
        groups = [self._matches(kind) for kind in self._scored]
        samples = resampling.resampled_scores(groups, self._image_count, n, seed)
        return {
            kind: {
                self._name(name, kind): resampling.interval(values, level)
                for name, values in found.items()
            }
            for kind, found in zip(self._scored, samples, strict=True)
        }

    def compare(self, other, n=1000, seed=0, level=0.95):
        """Whether this evaluation is better than another of the same pictures.

        Both are scored on the same samples of the pictures, so that what is difficult in a picture
        for both cancels.

        Args:
            other: `Evaluation` of the same ground truth.
            n, seed, level: as in `intervals`.

        Returns:
            {iou_type: {name: {"difference", "low", "high", "p"}}}: this one's score less the
            other's, its interval, and the two-sided p value of no difference; of `further` scores
            that both have {name: {"difference"}} alone, as they are not known by picture.

        Raises:
            ValueError: another ground truth, or another `max_detections`.
        """
        mine, theirs = ((saved.digest(x.ground_truth), x.max_detections) for x in (self, other))
        if mine != theirs:
            raise ValueError(
                f"expected evaluations of one ground truth, received {self._image_count} images "
                f"at {self.max_detections} detections and {other._image_count} at "
                f"{other.max_detections}. Evaluate both models on the same image_ids, with the "
                "same max_detections."
            )
        result = {}
        for kind in [kind for kind in self._scored if kind in other._scored]:
            groups = [each._matches(kind) for each in (self, other)]
            samples = resampling.resampled_scores(groups, self._image_count, n, seed)
            result[kind] = {}
            for name, ours in samples[0].items():
                name, difference = self._name(name, kind), ours - samples[1][name]
                low, high = resampling.interval(difference, level)
                result[kind][name] = {
                    "difference": self.scores[kind][name] - other.scores[kind][name],
                    **{"low": low, "high": high, "p": resampling.p_value(difference)},
                }
        for kind in [kind for kind in self.further if kind in other.further]:
            ours, theirs = self.further[kind], other.further[kind]
            shared = [name for name in ours if name in theirs]
            result[kind] = {name: {"difference": ours[name] - theirs[name]} for name in shared}
        return result

    # What is made once.

    @property
    def _image_count(self):
        return len(self.ground_truth["images"])

    def _name(self, name, kind):
        limit = keypoints.limit_of(kind, self.max_detections)
        return f"AR{limit}" if name == "AR" else name

    def _kind(self, iou_type):
        if iou_type is not None:
            return iou_type
        return next((kind for kind in ("segm", "bbox") if kind in self.iou_types), "keypoints")

    def _once(self, make, iou_type, *arguments):
        key = make, self._kind(iou_type)
        if key not in self._made:
            given = self.ground_truth, self.results, key[1], self.max_detections
            self._made[key] = make(*given, *arguments)
        return self._made[key]

    def _accumulated(self, iou_type):
        return self._once(coco.accumulate, iou_type, self.backend)

    def _matches(self, iou_type):
        return self._once(match_classes, iou_type)

    def _pictures(self, iou_type):
        return self._once(pictures.compare_pictures, iou_type)

    def _summary(self, iou_type):
        return coco.summarize(self._accumulated(iou_type), self.max_detections)

    def _score(self, score, iou_type):
        if score is not None:
            return score
        best = self.best_scores(iou_type=iou_type)["score"]
        return 0.0 if np.isnan(best) else best

    def _threshold(self, iou):
        near = np.flatnonzero(np.isclose(contest.THRESHOLDS, iou))
        if not near.size:
            raise ValueError(f"iou is {iou!r}; expected one of COCO's 0.50, 0.55 .. 0.95")
        return int(near[0])
