"""matterport's public interface as data; `test_inventory.py` checks each row.

A row of a signature table is a function as it is called, or a class with its members behind a dot;
one without parentheses is an attribute. Kernels are (height, width, in, out), `mrcnn_mask_deconv`
(height, width, out, in).
"""

CONFIG = {
    "NAME": None,
    "GPU_COUNT": 1,
    "IMAGES_PER_GPU": 2,
    "STEPS_PER_EPOCH": 1000,
    "VALIDATION_STEPS": 50,
    "BACKBONE": "resnet101",
    "COMPUTE_BACKBONE_SHAPE": None,
    "BACKBONE_STRIDES": [4, 8, 16, 32, 64],
    "FPN_CLASSIF_FC_LAYERS_SIZE": 1024,
    "TOP_DOWN_PYRAMID_SIZE": 256,
    "NUM_CLASSES": 1,
    "RPN_ANCHOR_SCALES": (32, 64, 128, 256, 512),
    "RPN_ANCHOR_RATIOS": [0.5, 1, 2],
    "RPN_ANCHOR_STRIDE": 1,
    "RPN_NMS_THRESHOLD": 0.7,
    "RPN_TRAIN_ANCHORS_PER_IMAGE": 256,
    "PRE_NMS_LIMIT": 6000,
    "POST_NMS_ROIS_TRAINING": 2000,
    "POST_NMS_ROIS_INFERENCE": 1000,
    "USE_MINI_MASK": True,
    "MINI_MASK_SHAPE": (56, 56),
    "IMAGE_RESIZE_MODE": "square",
    "IMAGE_MIN_DIM": 800,
    "IMAGE_MAX_DIM": 1024,
    "IMAGE_MIN_SCALE": 0,
    "IMAGE_CHANNEL_COUNT": 3,
    "MEAN_PIXEL": [123.7, 116.8, 103.9],
    "TRAIN_ROIS_PER_IMAGE": 200,
    "ROI_POSITIVE_RATIO": 0.33,
    "POOL_SIZE": 7,
    "MASK_POOL_SIZE": 14,
    "MASK_SHAPE": [28, 28],
    "MAX_GT_INSTANCES": 100,
    "RPN_BBOX_STD_DEV": [0.1, 0.1, 0.2, 0.2],
    "BBOX_STD_DEV": [0.1, 0.1, 0.2, 0.2],
    "DETECTION_MAX_INSTANCES": 100,
    "DETECTION_MIN_CONFIDENCE": 0.7,
    "DETECTION_NMS_THRESHOLD": 0.3,
    "LEARNING_RATE": 0.001,
    "LEARNING_MOMENTUM": 0.9,
    "WEIGHT_DECAY": 0.0001,
    "LOSS_WEIGHTS": {
        "rpn_class_loss": 1.0,
        "rpn_bbox_loss": 1.0,
        "mrcnn_class_loss": 1.0,
        "mrcnn_bbox_loss": 1.0,
        "mrcnn_mask_loss": 1.0,
    },
    "USE_RPN_ROIS": True,
    "TRAIN_BN": False,
    "GRADIENT_CLIP_NORM": 5.0,
}

SIGNATURES = {
    "mrcnn.config": """
        class Config()
            .display()
    """,
    "mrcnn.utils": """
        COCO_MODEL_URL
        extract_bboxes(mask)
        compute_iou(box, boxes, box_area, boxes_area)
        compute_overlaps(boxes1, boxes2)
        compute_overlaps_masks(masks1, masks2)
        non_max_suppression(boxes, scores, threshold)
        apply_box_deltas(boxes, deltas)
        box_refinement_graph(box, gt_box)
        box_refinement(box, gt_box)
        resize_image(image, min_dim=None, max_dim=None, min_scale=None, mode="square")
        resize_mask(mask, scale, padding, crop=None)
        minimize_mask(bbox, mask, mini_shape)
        expand_mask(bbox, mini_mask, image_shape)
        mold_mask(mask, config)
        unmold_mask(mask, bbox, image_shape)
        generate_anchors(scales, ratios, shape, feature_stride, anchor_stride)
        generate_pyramid_anchors(scales, ratios, feature_shapes, feature_strides, anchor_stride)
        trim_zeros(x)
        compute_matches(gt_boxes, gt_class_ids, gt_masks, pred_boxes, pred_class_ids, \
            pred_scores, pred_masks, iou_threshold=0.5, score_threshold=0.0)
        compute_ap(gt_boxes, gt_class_ids, gt_masks, pred_boxes, pred_class_ids, \
            pred_scores, pred_masks, iou_threshold=0.5)
        compute_ap_range(gt_box, gt_class_id, gt_mask, pred_box, pred_class_id, \
            pred_score, pred_mask, iou_thresholds=None, verbose=1)
        compute_recall(pred_boxes, gt_boxes, iou)
        batch_slice(inputs, graph_fn, batch_size, names=None)
        download_trained_weights(coco_model_path, verbose=1)
        norm_boxes(boxes, shape)
        denorm_boxes(boxes, shape)
        resize(image, output_shape, order=1, mode="constant", cval=0, clip=True, \
            preserve_range=False, anti_aliasing=False, anti_aliasing_sigma=None)
        class Dataset(class_map=None)
            .add_class(source, class_id, class_name)
            .add_image(source, image_id, path, **kwargs)
            .image_reference(image_id)
            .prepare(class_map=None)
            .map_source_class_id(source_class_id)
            .get_source_class_id(class_id, source)
            .append_data(class_info, image_info)
            .source_image_link(image_id)
            .load_image(image_id)
            .load_mask(image_id)
    """,
    "mrcnn.model": """
        log(text, array=None)
        class BatchNorm(**kwargs)
            .call(inputs, training=None)
        compute_backbone_shapes(config, image_shape)
        identity_block(input_tensor, kernel_size, filters, stage, block, use_bias=True, \
            train_bn=True)
        conv_block(input_tensor, kernel_size, filters, stage, block, strides=(2, 2), \
            use_bias=True, train_bn=True)
        resnet_graph(input_image, architecture, stage5=False, train_bn=True)
        apply_box_deltas_graph(boxes, deltas)
        clip_boxes_graph(boxes, window)
        class ProposalLayer(proposal_count, nms_threshold, config=None)
            .call(inputs)
        log2_graph(x)
        class PyramidROIAlign(pool_shape)
            .call(inputs)
        overlaps_graph(boxes1, boxes2)
        detection_targets_graph(proposals, gt_class_ids, gt_boxes, gt_masks, config)
        class DetectionTargetLayer(config)
            .call(inputs)
        refine_detections_graph(rois, probs, deltas, window, config)
        class DetectionLayer(config=None)
            .call(inputs)
        rpn_graph(feature_map, anchors_per_location, anchor_stride)
        build_rpn_model(anchor_stride, anchors_per_location, depth)
        fpn_classifier_graph(rois, feature_maps, image_meta, pool_size, num_classes, \
            train_bn=True, fc_layers_size=1024)
        build_fpn_mask_graph(rois, feature_maps, image_meta, pool_size, num_classes, train_bn=True)
        smooth_l1_loss(y_true, y_pred)
        rpn_class_loss_graph(rpn_match, rpn_class_logits)
        rpn_bbox_loss_graph(config, target_bbox, rpn_match, rpn_bbox)
        mrcnn_class_loss_graph(target_class_ids, pred_class_logits, active_class_ids)
        mrcnn_bbox_loss_graph(target_bbox, target_class_ids, pred_bbox)
        mrcnn_mask_loss_graph(target_masks, target_class_ids, pred_masks)
        load_image_gt(dataset, config, image_id, augment=False, augmentation=None, \
            use_mini_mask=False)
        build_detection_targets(rpn_rois, gt_class_ids, gt_boxes, gt_masks, config)
        build_rpn_targets(image_shape, anchors, gt_class_ids, gt_boxes, config)
        generate_random_rois(image_shape, count, gt_class_ids, gt_boxes)
        data_generator(dataset, config, shuffle=True, augment=False, augmentation=None, \
            random_rois=0, batch_size=1, detection_targets=False, no_augmentation_sources=None)
        compose_image_meta(image_id, original_image_shape, image_shape, window, scale, \
            active_class_ids)
        parse_image_meta(meta)
        parse_image_meta_graph(meta)
        mold_image(images, config)
        unmold_image(normalized_images, config)
        trim_zeros_graph(boxes, name=None)
        batch_pack_graph(x, counts, num_rows)
        norm_boxes_graph(boxes, shape)
        denorm_boxes_graph(boxes, shape)
        class MaskRCNN(mode, config, model_dir)
            .build(mode, config)
            .find_last()
            .load_weights(filepath, by_name=False, exclude=None)
            .get_imagenet_weights()
            .compile(learning_rate, momentum)
            .set_trainable(layer_regex, keras_model=None, indent=0, verbose=1)
            .set_log_dir(model_path=None)
            .train(train_dataset, val_dataset, learning_rate, epochs, layers, \
                augmentation=None, custom_callbacks=None, no_augmentation_sources=None)
            .mold_inputs(images)
            .unmold_detections(detections, mrcnn_mask, original_image_shape, image_shape, window)
            .detect(images, verbose=0)
            .detect_molded(molded_images, image_metas, verbose=0)
            .get_anchors(image_shape)
            .ancestor(tensor, name, checked=None)
            .find_trainable_layer(layer)
            .get_trainable_layers()
            .run_graph(images, outputs, image_metas=None)
    """,
    "mrcnn.visualize": """
        display_images(images, titles=None, cols=4, cmap=None, norm=None, interpolation=None)
        random_colors(N, bright=True)
        apply_mask(image, mask, color, alpha=0.5)
        display_instances(image, boxes, masks, class_ids, class_names, scores=None, title="", \
            figsize=(16, 16), ax=None, show_mask=True, show_bbox=True, colors=None, captions=None)
        display_differences(image, gt_box, gt_class_id, gt_mask, pred_box, pred_class_id, \
            pred_score, pred_mask, class_names, title="", ax=None, show_mask=True, show_box=True, \
            iou_threshold=0.5, score_threshold=0.5)
        draw_rois(image, rois, refined_rois, mask, class_ids, class_names, limit=10)
        draw_box(image, box, color)
        display_top_masks(image, mask, class_ids, class_names, limit=4)
        plot_precision_recall(AP, precisions, recalls)
        plot_overlaps(gt_class_ids, pred_class_ids, pred_scores, overlaps, class_names, \
            threshold=0.5)
        draw_boxes(image, boxes=None, refined_boxes=None, masks=None, captions=None, \
            visibilities=None, title="", ax=None)
        display_table(table)
        display_weight_stats(model)
    """,
    "mrcnn.parallel_model": """
        class ParallelModel(keras_model, gpu_count)
            .summary(*args, **kwargs)
            .make_parallel()
    """,
    "samples/balloon/balloon.py": """
        class BalloonConfig()
        class BalloonDataset(class_map=None)
            .load_balloon(dataset_dir, subset)
            .load_mask(image_id)
            .image_reference(image_id)
        train(model)
        color_splash(image, mask)
        detect_and_color_splash(model, image_path=None, video_path=None)
    """,
    "samples/nucleus/nucleus.py": """
        RESULTS_DIR
        VAL_IMAGE_IDS
        class NucleusConfig()
        class NucleusInferenceConfig()
        class NucleusDataset(class_map=None)
            .load_nucleus(dataset_dir, subset)
            .load_mask(image_id)
            .image_reference(image_id)
        train(model, dataset_dir, subset)
        rle_encode(mask)
        rle_decode(rle, shape)
        mask_to_rle(image_id, mask, scores)
        detect(model, dataset_dir, subset)
    """,
    "samples/coco/coco.py": """
        class CocoConfig()
        class CocoDataset(class_map=None)
            .load_coco(dataset_dir, subset, year="2014", class_ids=None, class_map=None, \
                return_coco=False, auto_download=False)
            .auto_download(dataDir, dataType, dataYear)
            .load_mask(image_id)
            .image_reference(image_id)
            .annToRLE(ann, height, width)
            .annToMask(ann, height, width)
        build_coco_results(dataset, image_ids, rois, class_ids, scores, masks)
        evaluate_coco(model, dataset, coco, eval_type="bbox", limit=0, image_ids=None)
    """,
    "samples/shapes/shapes.py": """
        class ShapesConfig()
        class ShapesDataset(class_map=None)
            .load_shapes(count, height, width)
            .load_image(image_id)
            .image_reference(image_id)
            .load_mask(image_id)
            .draw_shape(image, shape, dims, color)
            .random_shape(height, width)
            .random_image(height, width)
    """,
}

# What instances have beside methods.
DATASET_ATTRIBUTES = {
    *("class_info", "image_info", "source_class_ids", "image_ids"),
    *("num_classes", "class_ids", "class_names", "num_images", "sources"),
    *("class_from_source_map", "image_from_source_map"),
}
MODEL_ATTRIBUTES = {
    *("mode", "config", "model_dir", "keras_model", "epoch", "log_dir", "checkpoint_path"),
}

SAMPLE_CONFIGS = {
    ("samples/balloon/balloon.py", "BalloonConfig"): {
        "NAME": "balloon",
        "IMAGES_PER_GPU": 2,
        "NUM_CLASSES": 2,
        "STEPS_PER_EPOCH": 100,
        "DETECTION_MIN_CONFIDENCE": 0.9,
    },
    ("samples/nucleus/nucleus.py", "NucleusConfig"): {
        "NAME": "nucleus",
        "IMAGES_PER_GPU": 6,
        "NUM_CLASSES": 2,
        "STEPS_PER_EPOCH": 105,  # (657 - 25) // 6
        "VALIDATION_STEPS": 4,  # max(1, 25 // 6)
        "DETECTION_MIN_CONFIDENCE": 0,
        "BACKBONE": "resnet50",
        "IMAGE_RESIZE_MODE": "crop",
        "IMAGE_MIN_DIM": 512,
        "IMAGE_MAX_DIM": 512,
        "IMAGE_MIN_SCALE": 2.0,
        "RPN_ANCHOR_SCALES": (8, 16, 32, 64, 128),
        "POST_NMS_ROIS_TRAINING": 1000,
        "POST_NMS_ROIS_INFERENCE": 2000,
        "RPN_NMS_THRESHOLD": 0.9,
        "RPN_TRAIN_ANCHORS_PER_IMAGE": 64,
        "MEAN_PIXEL": [43.53, 39.56, 48.22],
        "USE_MINI_MASK": True,
        "MINI_MASK_SHAPE": (56, 56),
        "TRAIN_ROIS_PER_IMAGE": 128,
        "MAX_GT_INSTANCES": 200,
        "DETECTION_MAX_INSTANCES": 400,
    },
    ("samples/nucleus/nucleus.py", "NucleusInferenceConfig"): {
        "GPU_COUNT": 1,
        "IMAGES_PER_GPU": 1,
        "IMAGE_RESIZE_MODE": "pad64",
        "RPN_NMS_THRESHOLD": 0.7,
    },
    ("samples/coco/coco.py", "CocoConfig"): {
        "NAME": "coco",
        "IMAGES_PER_GPU": 2,
        "NUM_CLASSES": 81,
    },
    ("samples/shapes/shapes.py", "ShapesConfig"): {
        "NAME": "shapes",
        "GPU_COUNT": 1,
        "IMAGES_PER_GPU": 8,
        "NUM_CLASSES": 4,
        "IMAGE_MIN_DIM": 128,
        "IMAGE_MAX_DIM": 128,
        "RPN_ANCHOR_SCALES": (8, 16, 32, 64, 128),
        "TRAIN_ROIS_PER_IMAGE": 32,
        "STEPS_PER_EPOCH": 100,
        "VALIDATION_STEPS": 5,
    },
}

# Command lines as matterport's documentation has them, and what the program finds in them.
COMMANDS = {
    "samples/balloon/balloon.py": [
        (
            "train --dataset=/data --weights=coco",
            {"command": "train", "dataset": "/data", "weights": "coco", "logs": "<root>/logs"},
        ),
        ("train --dataset /data --weights last --logs /l", {"weights": "last", "logs": "/l"}),
        (
            "splash --weights=/w.h5 --image=a.jpg",
            {"command": "splash", "weights": "/w.h5", "image": "a.jpg", "video": None},
        ),
        ("splash --weights=last --video=a.avi", {"image": None, "video": "a.avi"}),
    ],
    "samples/nucleus/nucleus.py": [
        (
            "train --dataset=/data --subset=train --weights=imagenet",
            {"command": "train", "dataset": "/data", "weights": "imagenet", "logs": "<root>/logs"},
        ),
        (
            "detect --dataset=/data --subset=stage1_test --weights=last --logs=/l",
            {"command": "detect", "subset": "stage1_test", "weights": "last", "logs": "/l"},
        ),
    ],
    "samples/coco/coco.py": [
        (
            "train --dataset=/coco --model=coco",
            {
                "command": "train",
                "dataset": "/coco",
                "model": "coco",
                "year": "2014",
                "limit": 500,
                "download": False,
                "logs": "<root>/logs",
            },
        ),
        (
            "evaluate --dataset=/coco --model=last --year=2017 --limit=10 --logs=/l",
            {"command": "evaluate", "year": "2017", "limit": 10, "logs": "/l"},
        ),
        ("train --dataset=/coco --model=imagenet --download=True", {"download": True}),
    ],
}
REFUSED_COMMANDS = [  # a required flag is missing
    ("samples/balloon/balloon.py", "train --dataset=/data"),
    ("samples/nucleus/nucleus.py", "train --dataset=/data --subset=train"),
    ("samples/coco/coco.py", "train --model=coco"),
    ("samples/coco/coco.py", "train --dataset=/coco"),
]

# Inputs and outputs: name, shape of one item, type. None is any size; C channels, K classes,
# D detections, N proposals in inference, R in training, T training ROIs, P of them that may be
# positive (matterport's mask head sees all T), m a mini-mask's side.
TRAINING_INPUTS = [
    ("input_image", (None, None, "C"), "float32"),
    ("input_image_meta", ("12 + K",), "float32"),
    ("input_rpn_match", (None, 1), "int32"),
    ("input_rpn_bbox", (None, 4), "float32"),
    ("input_gt_class_ids", (None,), "int32"),
    ("input_gt_boxes", (None, 4), "float32"),
    ("input_gt_masks", ("m", "m", None), "bool"),
]
INPUT_ROI = ("input_roi", ("R", 4), "int32")  # last, with USE_RPN_ROIS = False
TRAINING_OUTPUTS = [
    ("rpn_class_logits", (None, 2)),
    ("rpn_class", (None, 2)),
    ("rpn_bbox", (None, 4)),
    ("mrcnn_class_logits", ("T", "K")),
    ("mrcnn_class", ("T", "K")),
    ("mrcnn_bbox", ("T", "K", 4)),
    ("mrcnn_mask", ("P", 28, 28, "K")),
    ("ROI", ("R", 4)),
    ("output_rois", ("T", 4)),
    ("rpn_class_loss", ()),
    ("rpn_bbox_loss", ()),
    ("mrcnn_class_loss", ()),
    ("mrcnn_bbox_loss", ()),
    ("mrcnn_mask_loss", ()),
]
INFERENCE_INPUTS = [
    ("input_image", (None, None, "C"), "float32"),
    ("input_image_meta", ("12 + K",), "float32"),
    ("input_anchors", (None, 4), "float32"),
]
INFERENCE_OUTPUTS = [
    ("mrcnn_detection", ("D", 6)),
    ("mrcnn_class", ("N", "K")),
    ("mrcnn_bbox", ("N", "K", 4)),
    ("mrcnn_mask", ("D", 28, 28, "K")),
    ("ROI", ("N", 4)),
    ("rpn_class", ("A", 2)),
    ("rpn_bbox", ("A", 4)),
]
ANCHORS_AT_1024 = 196_608 + 49_152 + 12_288 + 3_072 + 768

# Layers without weights, beside `res<stage><block>_out`.
TRAINING_LAYERS = ["rpn_class_logits", "proposal_targets", "output_rois", *CONFIG["LOSS_WEIGHTS"]]
INFERENCE_LAYERS = ["input_anchors", "mrcnn_detection"]
LAYERS_OF_BOTH = [
    *("fpn_p5upsampled", "fpn_p4upsampled", "fpn_p3upsampled"),
    *("fpn_p4add", "fpn_p3add", "fpn_p2add", "fpn_p6"),
    *("rpn_class", "rpn_bbox", "ROI"),
    *("roi_align_classifier", "pool_squeeze", "mrcnn_class", "mrcnn_bbox", "roi_align_mask"),
]

BLOCKS = {
    "resnet50": {2: "abc", 3: "abcd", 4: "abcdef", 5: "abc"},
    "resnet101": {2: "abc", 3: "abcd", 4: "abcdefghijklmnopqrstuvw", 5: "abc"},
}
STAGES = {2: (64, 64, 256), 3: (256, 128, 512), 4: (512, 256, 1024), 5: (1024, 512, 2048)}


def backbone_layers(architecture):
    """Kernels of convolutions (each with a bias), channels of BatchNorms, by layer name."""
    layers = {"conv1": (7, 7, 3, 64), "bn_conv1": 64}
    for stage, (before, width, after) in STAGES.items():
        for block in BLOCKS[architecture][stage]:
            channels = before if block == "a" else after
            branches = {
                "2a": (1, 1, channels, width),
                "2b": (3, 3, width, width),
                "2c": (1, 1, width, after),
                **({"1": (1, 1, before, after)} if block == "a" else {}),
            }
            for branch, kernel in branches.items():
                layers[f"res{stage}{block}_branch{branch}"] = kernel
                layers[f"bn{stage}{block}_branch{branch}"] = kernel[-1]
    return layers


FPN_LAYERS = {
    "fpn_c5p5": (1, 1, 2048, 256),
    "fpn_c4p4": (1, 1, 1024, 256),
    "fpn_c3p3": (1, 1, 512, 256),
    "fpn_c2p2": (1, 1, 256, 256),
    **{f"fpn_p{level}": (3, 3, 256, 256) for level in (2, 3, 4, 5)},
}
RPN_LAYERS = {  # in the model `rpn_model`, with its input and a softmax `rpn_class_xxx`
    "rpn_conv_shared": (3, 3, 256, 512),
    "rpn_class_raw": (1, 1, 512, 6),
    "rpn_bbox_pred": (1, 1, 512, 12),
}


def box_head_layers(classes):
    return {
        "mrcnn_class_conv1": (7, 7, 256, 1024),
        "mrcnn_class_bn1": 1024,
        "mrcnn_class_conv2": (1, 1, 1024, 1024),
        "mrcnn_class_bn2": 1024,
        "mrcnn_class_logits": (1024, classes),
        "mrcnn_bbox_fc": (1024, 4 * classes),
    }


def mask_head_layers(classes):
    return {
        **{f"mrcnn_mask_conv{i}": (3, 3, 256, 256) for i in (1, 2, 3, 4)},
        **{f"mrcnn_mask_bn{i}": 256 for i in (1, 2, 3, 4)},
        "mrcnn_mask_deconv": (2, 2, 256, 256),
        "mrcnn_mask": (1, 1, 256, classes),
    }


PARAMETERS = {  # by part, then by what it depends on
    "backbone": {"resnet50": 23_587_712, "resnet101": 42_658_176},
    "fpn": 3_344_384,
    "rpn": 1_189_394,
    "box head": {81: 14_318_997, 2: 13_914_122},
    "mask head": {81: 2_647_633, 2: 2_627_330},
    "total": {
        ("resnet101", 81): 64_158_584,
        ("resnet101", 2): 63_733_406,
        ("resnet50", 81): 45_088_120,
        ("resnet50", 2): 44_662_942,
    },
}

# What `train(layers=...)` trains: prefixes of layer names.
HEADS = ("mrcnn_", "rpn_", "fpn_")
LAYER_GROUPS = {
    "heads": HEADS,
    "3+": ("res3", "bn3", "res4", "bn4", "res5", "bn5", *HEADS),
    "4+": ("res4", "bn4", "res5", "bn5", *HEADS),
    "5+": ("res5", "bn5", *HEADS),
    "all": ("conv1", "bn_conv1", "res", "bn", *HEADS),
}
