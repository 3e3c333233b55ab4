"""What the pages have in common: they need nothing of the network."""

import html

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 76em; padding: 0 1em;
  color: #1b1b22; background: #fff; }
h1, h2 { line-height: 1.2; } p.note { color: #555; max-width: 52em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: 0.25em 0.7em; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
.facts td { text-align: left; }
.curves { display: flex; flex-wrap: wrap; gap: 1em; } .curves img { width: 36em; max-width: 100%; }
figure { margin: 1.2em 0; } figcaption { margin-bottom: 0.3em; }
figure img { max-width: 100%; display: block; }
.legend b, figcaption b { font-weight: 600; }
"""


def table(heads, rows):
    """A table of texts and numbers, which are escaped."""
    head = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in heads)
    lines = [
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    ]
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def document(title, body):
    """A whole page of the parts of its body, list of str."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )
