"""XML files of annotations."""

from xml.etree import ElementTree


def read_xml(path):
    """The root `Element` of an XML file.

    Raises:
        ValueError: names the file, which is none, or declares a document type: no annotation tool
            does, and what one may define can take all memory.
    """
    try:
        with open(path, "rb") as file:
            return ElementTree.parse(file, ElementTree.XMLParser(target=_Tree())).getroot()
    except (ElementTree.ParseError, LookupError, OSError, ValueError) as error:
        raise ValueError(
            f"{path}: expected XML, but it cannot be read as such ({error}); export it anew"
        ) from error


def parse_xml(text):
    """The root `Element` of XML, as `read_xml` reads it.

    Args:
        text: str.

    Raises:
        ValueError: it is none, or declares a document type.
    """
    try:
        return ElementTree.fromstring(text, ElementTree.XMLParser(target=_Tree()))
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError(f"expected XML, received {text[:40]!r} ({error})") from error


def root_tag(path):
    """The name of the root of an XML file, also of one that breaks off behind; None of another."""
    head = _Head()
    try:
        with open(path, "rb") as file:
            ElementTree.XMLParser(target=head).feed(file.read(4096))
    except (ElementTree.ParseError, LookupError, OSError, ValueError):
        pass  # whoever reads it says what is wrong
    return head.tag


class _Tree(ElementTree.TreeBuilder):
    def doctype(self, name, public, system):
        raise ValueError(f"it declares the document type {name}")


class _Head:
    tag = None

    def start(self, tag, attributes):
        self.tag = self.tag or tag
