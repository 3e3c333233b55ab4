"""Whose an XML file is, and the subsets in it."""

from xml.etree import ElementTree


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


class _Sketch:
    """Whose a file is, and the subsets of its pictures, without its elements."""

    def __init__(self):
        self.root, self.is_cvat, self.subsets = None, False, {}

    def doctype(self, name, public, system):
        self.root, self.is_cvat = name, True  # `read_xml` says what is wrong
        raise ValueError(name)

    def start(self, tag, attributes):
        self.root = self.root or tag
        self.is_cvat |= tag in ("meta", "image", "track")
        if tag in ("image", "track"):
            self.subsets[attributes.get("subset", "")] = True
