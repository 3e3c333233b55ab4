"""Steps for microscopy: the colours of a stain, and tissue that is never twice the same shape."""

import numpy as np
from PIL import Image
from scipy import ndimage

from mrcnn.augment.photometric import Photometric
from mrcnn.augment.ranges import share
from mrcnn.data.sample import Step
from mrcnn.image.masks import extract_bboxes, no_masks

# Optical density of hematoxylin, eosin and a third stain in red, green and blue (Ruifrok and
# Johnston 2001, "Quantification of histochemical staining by color deconvolution").
_STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])


class StainJitter(Photometric):
    """Changes how much hematoxylin and eosin a picture has (Tellez et al. 2018, arXiv:1808.05896).

    The optical density of each pixel is taken apart into stains; the amount of each is scaled and
    shifted, and the stains are put together again. For RGB pictures of stained tissue.

    Args:
        scale: float, the amount of each stain is multiplied by 1 - `scale` to 1 + `scale`.
        shift: float, natural optical density that is added, `-shift` to `shift`.
        p: float, how probably.
    """

    def __init__(self, scale=0.2, shift=0.05, p=1.0):
        super().__init__(p)
        for name, value in (("scale", scale), ("shift", shift)):
            if value < 0:
                raise ValueError(f"Expected {name} of 0 or more, received {value}")
        self.scale, self.shift = scale, shift

    def change(self, pixels, rng):
        if pixels.shape[2] != 3:
            raise ValueError(
                f"expected RGB for StainJitter, received {pixels.shape[2]} channels. Leave it out"
            )
        scale = 1 + self.scale * rng.uniform(-1, 1, 3)
        shift = self.shift * rng.uniform(-1, 1, 3)
        # density -> stains -> changed -> density is one affine map of three numbers.
        matrix = np.linalg.inv(_STAINS) @ np.diag(scale) @ _STAINS
        density = _densities(pixels) @ matrix.astype(np.float32)
        density += (shift @ _STAINS).astype(np.float32)
        return 256 * np.exp(-density) - 1


def _densities(pixels):
    """Natural optical density of values 0 to 255; one more is counted, so that black has one."""
    if pixels.dtype == np.uint8:
        return _densities(np.arange(256, dtype=np.float32)).take(pixels)
    return -np.log((pixels + 1) / 256)


class ElasticTransform(Step):
    """Bends the picture as rubber: nodes of a grid move at random, what lies between follows.

    As in U-Net (Ronneberger et al. 2015, arXiv:1505.04597), but the border stays where it is: no
    pixel is made up, and the window stays.

    Args:
        std: pixels, standard deviation of how far a node moves along each axis.
        spacing: pixels from one node to the next, about. Where it is below six times `std`, the
            picture may fold.
        p: float, how probably.
    """

    def __init__(self, std=5.0, spacing=64, p=1.0):
        if not (std >= 0 and spacing > 0):
            raise ValueError(
                f"Expected std of 0 or more and spacing above 0, received {std} and {spacing}"
            )
        self.std, self.spacing, self.p = std, spacing, share("p", p)

    def apply(self, sample, rng):
        if self.p < 1 and rng.random() >= self.p:
            return sample
        inside, origin = sample.inside, np.array(sample.window[:2])
        mesh = Mesh.random(np.subtract(sample.window[2:], origin), self.std, self.spacing, rng)
        image, masks = np.array(sample.image), no_masks(sample.size, sample.masks.shape[2])
        image[inside] = mesh.image(sample.image[inside])
        mesh.masks(sample.masks[inside], out=masks[inside])
        points, proposals = (
            None if each is None else mesh.points(each - origin) + origin
            for each in (sample.points, sample.proposals)
        )
        labels = sample.labels
        if labels is not None:
            labels = labels.copy()
            labels[inside] = mesh.labels(sample.labels[inside])
        return sample.replace(
            image=image, masks=masks, points=points, proposals=proposals, labels=labels
        )


class Mesh:
    """Where each pixel of a bent picture comes from: exact at nodes, bilinear between them.

    Args:
        nodes: two int arrays, rows `[n]` and columns `[m]` of the nodes, 0 and the side included.
        sources: float `[2, n, m]`, y and x in the picture that lie at the nodes afterwards.
    """

    def __init__(self, nodes, sources):
        self.nodes, self.sources = nodes, sources

    @classmethod
    def random(cls, size, std, spacing, rng):
        """A mesh whose inner nodes move by `std` pixels; two cells of it lie between nodes."""
        counts = [max(2, round(side / spacing)) for side in size]
        moves = np.zeros((2, *(count + 1 for count in counts)))
        moves[:, 1:-1, 1:-1] = rng.normal(0, std, moves[:, 1:-1, 1:-1].shape)
        shape = [2 * count + 1 for count in counts]
        moves = np.stack([_refined(move, shape) for move in moves])
        nodes = [
            np.unique(np.rint(np.linspace(0, side, n)).astype(int))
            for side, n in zip(size, shape, strict=True)
        ]
        moves = moves[:, : len(nodes[0]), : len(nodes[1])]
        moves[:, [0, -1]], moves[:, :, [0, -1]] = 0, 0
        sources = np.stack(np.meshgrid(*nodes, indexing="ij")) + moves
        # A node that would come from beyond the border comes from the border.
        return cls(nodes, np.clip(sources, 0, np.reshape(size, (2, 1, 1))))

    def image(self, pixels):
        """The bent picture, bilinear between pixels."""
        rows, cols = self.nodes
        at = self.sources[::-1].transpose(1, 2, 0)  # x, y of each node, (n, m, 2)
        # The box of each cell, and the corners that it comes from, counterclockwise.
        cells = [
            (
                (cols[j], rows[i], cols[j + 1], rows[i + 1]),
                (*at[i, j], *at[i + 1, j], *at[i + 1, j + 1], *at[i, j + 1]),
            )
            for i in range(len(rows) - 1)
            for j in range(len(cols) - 1)
        ]

        def bend(plane):
            picture = Image.fromarray(np.ascontiguousarray(plane))
            transform, resampling = Image.Transform.MESH, Image.Resampling.BILINEAR
            return np.asarray(picture.transform(picture.size, transform, cells, resampling))

        if pixels.shape[2] == 3 and pixels.dtype == np.uint8:
            return bend(pixels)
        return np.stack([bend(plane) for plane in np.moveaxis(pixels, 2, 0)], axis=-1)

    def masks(self, masks, out):
        """Writes the bent masks `[h, w, N]`: each pixel takes the one that its centre comes from.

        Only around its box is a mask looked at.
        """
        index = self._nearest(*masks.shape[:2])
        still = np.stack(np.meshgrid(*self.nodes, indexing="ij"))
        reach = int(np.ceil(np.abs(self.sources - still).max()))
        for i, (y1, x1, y2, x2) in enumerate(extract_bboxes(masks)):
            near = slice(max(0, y1 - reach), y2 + reach), slice(max(0, x1 - reach), x2 + reach)
            out[(*near, i)] = masks[:, :, i].ravel().take(index[near])

    def labels(self, labels):
        """The bent label map `[h, w]`: each pixel takes the one that its centre comes from."""
        return labels.ravel().take(self._nearest(*labels.shape))

    def _nearest(self, height, width):
        """int `[h, w]`: the index of the pixel that each one's centre comes from."""
        rows, cols = self.source(np.arange(height) + 0.5, np.arange(width) + 0.5).astype(np.int32)
        return np.minimum(rows, height - 1) * width + np.minimum(cols, width - 1)

    def source(self, rows, cols):
        """float `[2, n, m]`: where the points of a grid come from; `rows` `[n]`, `cols` `[m]`."""
        down, right = (_weights(*pair) for pair in zip(self.nodes, (rows, cols), strict=True))
        return down @ self.sources @ right.T

    def points(self, points):
        """Where points of the picture `[..., 2]` lie afterwards; outside of it they stay."""
        given = points.reshape(-1, 2)
        found = np.array(given)
        sides = [nodes[-1] for nodes in self.nodes]
        within = ((given >= 0) & (given <= sides)).all(axis=1)
        given = given[within]
        moved = np.array(given)
        for _ in range(20):  # of a fixed point: each halves the error where nothing folds
            down, right = (_weights(n, x) for n, x in zip(self.nodes, moved.T, strict=True))
            source = np.einsum("pn,cnm,pm->pc", down, self.sources, right)
            moved = np.clip(moved + given - source, 0, sides)
        found[within] = moved
        return found.reshape(points.shape)


def _refined(move, shape):
    """A grid of moves `[n, m]` on a finer one, smoothly."""
    last = np.array(move.shape) - 1
    at = np.meshgrid(*(np.linspace(0, *x) for x in zip(last, shape, strict=True)), indexing="ij")
    return ndimage.map_coordinates(move, at, order=3, mode="nearest")


def _weights(nodes, at):
    """float `[len(at), len(nodes)]`: how much of each node is at each place, linearly."""
    return np.stack([np.interp(at, nodes, unit) for unit in np.eye(len(nodes))], axis=1)
