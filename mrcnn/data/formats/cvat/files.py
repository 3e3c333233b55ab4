"""The XML files of CVAT."""

from xml.etree import ElementTree


def parse(path):
    """The root of an XML file.

    Raises:
        ValueError: names the file, which is none, or declares a document type: CVAT declares none,
            and what it may define can take all memory.
    """
    try:
        return ElementTree.parse(path, ElementTree.XMLParser(target=_Tree())).getroot()
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise ValueError(
            f"{path}: expected XML as CVAT exports it, but it is none: {error}. Export it anew"
        ) from error


def subsets_in(path):
    """The subsets of a file, in their order; [""] where it has none, [] where it is not CVAT's."""
    sketch = _Sketch()
    parser = ElementTree.XMLParser(target=sketch)
    try:
        with open(path, "rb") as file:
            while sketch.root in (None, "annotations") and (part := file.read(1 << 16)):
                parser.feed(part)
    except (ElementTree.ParseError, LookupError, ValueError):
        pass  # whoever reads it says what is wrong
    if sketch.root != "annotations" or not sketch.is_cvat:
        return []
    return list(sketch.subsets) or [""]


class _Strict:
    def doctype(self, name, public, system):
        raise ValueError(f"it declares the document type {name}")


class _Tree(_Strict, ElementTree.TreeBuilder):
    """Elements, as `ElementTree` makes them."""


class _Sketch(_Strict):
    """Whose a file is, and the subsets of its pictures, without its elements."""

    def __init__(self):
        self.root, self.is_cvat, self.subsets = None, False, {}

    def doctype(self, name, public, system):
        self.root, self.is_cvat = name, True  # `parse` says what is wrong
        super().doctype(name, public, system)

    def start(self, tag, attributes):
        self.root = self.root or tag
        self.is_cvat |= tag in ("meta", "image", "track")
        if tag in ("image", "track"):
            self.subsets[attributes.get("subset", "")] = True
