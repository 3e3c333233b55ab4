"""torchvision's Mask R-CNN at the same work, for the benchmarks' `--peer torchvision`."""

import os

import numpy as np

CANDIDATES = 500  # boxes above the score threshold, as trained networks have them


def share_gpu():
    """Lets Keras take only the memory of a GPU that it needs; to be called before it uses one.

    TensorFlow and JAX reserve nearly all of it unless told otherwise: PyTorch would find none.
    """
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"


def build(side, classes, rois, proposals=1000, detections=100):
    """torchvision's ResNet-50 model with fixed BatchNorm and random weights, on the GPU if any.

    Args:
        side: int, of the square images.
        classes: int, background included.
        rois: int, sampled for an image in training.
        proposals: int, of an image.
        detections: int, of an image.
    """
    import torch
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.ops.misc import FrozenBatchNorm2d

    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d, trainable_layers=5
    )
    for name, buffer in backbone.named_buffers():
        if name.endswith("bn3.weight"):
            buffer.fill_(0.2)  # else features grow from block to block without batch statistics
    model = MaskRCNN(
        backbone,
        classes,
        min_size=side,
        max_size=side,
        rpn_post_nms_top_n_test=proposals,
        rpn_post_nms_top_n_train=2 * proposals,
        box_batch_size_per_image=rois,
        box_positive_fraction=0.33,
        box_detections_per_img=detections,
    )
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def detector(side, classes, precision, images):
    """A function like `detect`: list of uint8 images -> list of dicts, one an image.

    They hold "masks", bool [N, H, W] in NumPy, and "proposals", the number of them.
    """
    import torch

    model = build(side, classes, 200).eval()
    device = next(model.parameters()).device
    dtype = {"mixed_bfloat16": torch.bfloat16, "mixed_float16": torch.float16}.get(precision)
    scores, counts = [], []
    model.rpn.register_forward_hook(
        lambda module, inputs, outputs: counts.append([len(boxes) for boxes in outputs[0]])
    )
    hook = model.roi_heads.box_predictor.register_forward_hook(
        lambda module, inputs, outputs: scores.append(outputs[0].float().softmax(-1)[:, 1:])
    )

    def detect(images):
        tensors = [torch.from_numpy(image).to(device) for image in images]
        tensors = [tensor.permute(2, 0, 1).float() / 255 for tensor in tensors]
        with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=bool(dtype)):
            found = model(tensors)
        return [
            {"masks": (item["masks"][:, 0] > 0.5).cpu().numpy(), "proposals": count}
            for item, count in zip(found, counts.pop(), strict=True)
        ]

    model.roi_heads.score_thresh = 1.1
    detect(images[:1])
    hook.remove()
    highest = torch.sort(scores[0].flatten(), descending=True)[0]
    model.roi_heads.score_thresh = float(highest[CANDIDATES])
    return detect


def trainer(side, classes, rois, precision, images, boxes, labels):
    """A function that takes so many training steps on a batch and returns the last one's loss.

    Args:
        side, classes, rois: see `build`.
        precision: key of `Config.PRECISION`.
        images: float32 [B, H, W, 3], 0 to 1.
        boxes: float32 [B, M, 4] = y1 x1 y2 x2 in pixels.
        labels: int [B, M].
    """
    import torch

    model = build(side, classes, rois).train()
    device = next(model.parameters()).device
    dtype = {"mixed_bfloat16": torch.bfloat16, "mixed_float16": torch.float16}.get(precision)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9)
    tensors = [torch.from_numpy(image).to(device).permute(2, 0, 1) for image in images]
    targets = []
    for corners, classes_of in zip(boxes, labels, strict=True):
        masks = np.zeros((len(corners), side, side), np.uint8)
        for mask, (y1, x1, y2, x2) in zip(masks, corners.astype(int), strict=True):
            mask[y1:y2, x1:x2] = 1
        arrays = {
            "boxes": np.ascontiguousarray(corners[:, [1, 0, 3, 2]]),
            "labels": classes_of.astype(np.int64),
            "masks": masks,
        }
        targets.append({key: torch.from_numpy(array).to(device) for key, array in arrays.items()})

    def take_step():
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype, enabled=bool(dtype)):
            loss = sum(model(tensors, targets).values())
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    def train(steps):
        for _ in range(steps):
            loss = take_step()
        return loss.item()  # waits for the GPU, only now

    return train
