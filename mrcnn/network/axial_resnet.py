"""The trunk of MaX-DeepLab (arXiv:2012.00759, section 3.2): a ResNet with axial attention, a memory
beside it, and a decoder.

After deeplab2's `axial_resnet`. Features are before a ReLU until something takes them.

Shapes: B images, H W, N vectors of the memory, C D channels.
"""

from keras import layers

from mrcnn.layers.corners import ResizeCorners
from mrcnn.network.attention import Memory
from mrcnn.network.deeplab_blocks import Blocks

OUTPUT_STRIDE = 16  # of the last stages, where the decoder starts
DECODED_STRIDE = 4  # where it ends
MEMORY_FILTERS = 128  # of the keys of the dual path at stride 16


def axial_resnet(images, settings, style):
    """Images -> the features that the heads of MaX-DeepLab take.

    Args:
        images: float [B, H, W, C].
        settings: `mrcnn.settings.MaskTransformer`.
        style: `mrcnn.settings.ConvStyle`.

    Returns:
        dict: after a ReLU `res2` and `res3`, of strides 4 and 8, `semantic`, of stride 16 or 4,
        `panoptic`, of stride 4, and of the memory `class` and `mask` [B, 1, N, D].
    """
    return _Trunk(settings, style).build(images)


class _Trunk:
    """A trunk as it is built.

    Attributes:
        memory: [B, 1, N, D], what it is by now.
        ends: dict by stride of lists of features, which the decoder takes up again.
        decoded: list of the features of stride 4 so far, after a ReLU.
    """

    def __init__(self, settings, style):
        self.blocks = Blocks(settings, style)
        self.size, self.slots = self.blocks.size, settings.slots
        self.memory, self.ends, self.decoded = None, {}, []

    def build(self, images):
        blocks, size = self.blocks, self.size
        channels = blocks.channels(size.memory_channels)
        self.memory = Memory(self.slots, channels, name="memory")(images)
        x = self._stem(images)
        self.ends[2] = [x]
        for stage, count in enumerate(size.blocks, 2):
            stride = 2 ** (stage - 1)  # of what goes in
            expansion = size.memory_expansion * stride / OUTPUT_STRIDE
            x = self._stage(x, f"stage{stage}", count, stride, 2, expansion)
            self.ends[min(2 * stride, OUTPUT_STRIDE)] = [x]
        features = {
            "res2": blocks.relu(self.ends[4][0], "stage2"),
            "res3": blocks.relu(self.ends[8][0], "stage3"),
        }
        features["semantic"] = self._decode(x)
        features["panoptic"] = self.decoded[-1]
        for kind in ("class", "mask"):
            name = f"{kind}_feature_extra"
            features[kind] = blocks.conv(self.memory, name, channels, relu=True)
        return features

    def _stem(self, images):
        """Images -> features of stride 2; of a wide network with its stage 1."""
        blocks = self.blocks
        if self.size.wide:
            x = blocks.conv(images, "stem", blocks.channels(64), 3, 2)
            return self._stage(x, "stage1", 3, 2, 1, self.size.memory_expansion / OUTPUT_STRIDE)
        x = blocks.conv(images, "stem_conv1_bn_act", blocks.channels(64), 3, 2, relu=True)
        x = blocks.conv(x, "stem_conv2_bn_act", blocks.channels(64), 3, relu=True)
        return blocks.conv(x, "stem_conv3_bn", blocks.channels(128), 3)

    def _stage(self, x, name, count, stride, strides, memory_expansion):
        """Residual blocks, and the dual path behind those from a stride on.

        Args:
            x: features.
            name: str.
            count: int, of blocks.
            stride: int, of a published ResNet before it, of which 32 is the last.
            strides: int, of a published ResNet: how much smaller its result is.
            memory_expansion: float, of the dual path's channels.
        """
        filters = self.blocks.channels(stride * (16 if strides == 1 else 32))
        for i in range(1, count + 1):
            place, before = f"{name}_block{i}", stride
            shrinks = strides if i == 1 and stride < OUTPUT_STRIDE else 1
            x = self.blocks.block(x, place, filters, before, shrinks)
            stride = stride * strides if i == 1 else stride
            if stride >= self.size.memory_from:
                channels = self.blocks.channels(MEMORY_FILTERS * memory_expansion)
                place = f"{place}_transformer"
                x, self.memory = self.blocks.dual_path(x, self.memory, place, channels, before)
        return x

    def _decode(self, x):
        """Up to stride 4, as often down and up again as the size has it; returns what the semantic
        head takes."""
        size, extra, expansion = self.size, "", self.size.memory_expansion
        if not size.backbone_stacks:
            semantic, extra = self.blocks.relu(x, "backbone"), "_extra"
            x = self._stage(x, "stage5_extra", size.extra_blocks, 32, 1, expansion)
            self.ends[OUTPUT_STRIDE] = [x]
        steps = [8, DECODED_STRIDE] + [8, OUTPUT_STRIDE, 8, DECODED_STRIDE] * (
            size.backbone_stacks + size.extra_stacks
        )
        ends, before = 0, OUTPUT_STRIDE  # of stacks; of x
        for i, stride in enumerate(steps, 1):
            last = stride == OUTPUT_STRIDE
            ends += last
            place = 32 if last else stride
            share = expansion * stride / OUTPUT_STRIDE
            name = f"decoder_stage{i}{extra}_resized_fuse"
            channels = 4 * self.blocks.channels(16 * place)  # of what is there
            x = self._fuse(x, name, stride, channels, down=stride > before)
            before = stride
            if not extra:
                x = self._stage(x, f"decoder_stage{i}", 1, place, 1, share)
            if last and not extra and ends == size.backbone_stacks:
                extra = "_extra"
            if extra:
                name = f"decoder_stage{i}_extra"
                x = self._stage(x, name, size.extra_blocks, place, 1, share)
            self.ends[stride].append(x)
            if stride == DECODED_STRIDE:
                self.decoded.append(self.blocks.relu(x, f"decoder_stage{i}"))
        return self.decoded[size.backbone_stacks] if size.extra_stacks else semantic

    def _fuse(self, x, name, stride, channels, down):
        """The sum of x, brought to a stride, and the last two features that were there."""
        ends = self.ends[stride][-2:]
        x = self.blocks.relu(x, f"{name}_input1")
        if down:
            x = self.blocks.conv(x, f"{name}_strided_conv_bn1", channels, strides=2)
        else:
            x = self.blocks.conv(x, f"{name}_resized_conv_bn1", channels)
            x = ResizeCorners(name=f"{name}_resized1")(x, ends[-1])
        return layers.Add(name=f"{name}_add")([x, *ends])
