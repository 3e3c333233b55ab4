"""What a check of a data set found."""

import dataclasses
import itertools

LEVELS = ("error", "warning", "note")
BOX_ALONE = "objects with a box alone"  # a kind, where masks are to be trained
SHOWN = 5  # findings of a kind that the text lists
SHOWN_COUNTS = 20  # classes of which it says how many objects there are


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth a look.

    Args:
        level: "error": it would stop or poison a training; "warning": it is probably not meant;
            "note": good to know.
        kind: str, a short name of what it is, the same for all of its kind.
        where: str, the file and the entry; "" where it is about the data set.
        text: str, what it is, and what to do.
        image_id: int, the data set's id of the picture, or None.
        instance: int, its place among the picture's, or None.
    """

    level: str
    kind: str
    where: str
    text: str
    image_id: int | None = None
    instance: int | None = None

    def __str__(self):
        return f"{self.where}: {self.text}" if self.where else self.text


@dataclasses.dataclass
class Report:
    """All findings of a check.

    Attributes:
        name: str, the data set.
        facts: dict of what was counted and measured: JSON can hold it.
        findings: list of `Finding`, errors first.
        suggestions: dict: by a key of `Config`, (value, why).
    """

    name: str
    facts: dict
    findings: list
    suggestions: dict

    def __post_init__(self):
        self.findings = sorted(self.findings, key=lambda x: (LEVELS.index(x.level), x.kind))

    @property
    def ok(self):
        """Whether nothing would break a training."""
        return not any(finding.level == "error" for finding in self.findings)

    def counts(self):
        """How many findings there are of each level, as a text."""
        numbers = [sum(finding.level == level for finding in self.findings) for level in LEVELS]
        plurals = ("" if number == 1 else "s" for number in numbers)
        return ", ".join(map("{} {}{}".format, numbers, LEVELS, plurals))

    def to_dict(self):
        """What JSON can hold of it."""
        return {
            "name": self.name,
            "ok": self.ok,
            "facts": self.facts,
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
            "suggestions": {
                key: {"value": value, "why": why} for key, (value, why) in self.suggestions.items()
            },
        }

    def __str__(self):
        lines = [f"{self.name}: {self.counts()}", ""]
        lines += [f"  {name}: {_short(value)}" for name, value in self.facts.items()]
        for (level, kind), group in itertools.groupby(
            self.findings, key=lambda finding: (finding.level, finding.kind)
        ):
            group = list(group)
            lines += ["", f"{level}, {kind} ({len(group)})"]
            lines += [f"  {finding}" for finding in group[:SHOWN]]
            if len(group) > SHOWN:
                lines.append(f"  ... and {len(group) - SHOWN} more")
        if self.suggestions:
            lines += ["", "suggested keys"]
            lines += [f"  {key}={value}: {why}" for key, (value, why) in self.suggestions.items()]
        return "\n".join(lines)


def _short(value):
    if isinstance(value, dict):
        items, more = list(value.items()), ""
        if len(items) > SHOWN_COUNTS:
            items = sorted(items, key=lambda item: -item[1])[:SHOWN_COUNTS]
            more = f", ... {len(value) - SHOWN_COUNTS} more"
        return ", ".join(f"{name} {count}" for name, count in items) + more
    return value
