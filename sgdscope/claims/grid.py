"""A claim's verdicts side by side: a row for each line of a panel, a column for each measure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sgdscope.claims.quantities import Quantity
from sgdscope.claims.verdicts import Verdict

Moments = Sequence[Verdict]  # a statement's, at the end of training and at equal training loss
Place = tuple[str, str]  # panel and line


@dataclass(frozen=True)
class Block:
    """One statement about several measures, on all lines."""

    said: str
    rows: dict[Place, dict[str, Moments]] = field(default_factory=dict)  # then by measure

    def unit(self, measure: str) -> str:
        """The unit of a column's numbers; empty if it has none."""
        verdicts = (one for row in self.rows.values() for one in row.get(measure, []))
        units = (one.unit or one.statistic for one in verdicts if one.value is not None)
        return next(units, "")


@dataclass(frozen=True)
class Grid:
    """A claim's blocks, over the same columns."""

    measures: list[str]
    blocks: list[Block]

    @property
    def heads(self) -> list[str]:
        """Of the columns, in print."""
        return [Quantity(measure).label for measure in self.measures]


def grid(statements: Iterable[Moments]) -> Grid:
    """Arrange a claim's verdicts, in the order in which they come."""
    measures: dict[str, None] = {}
    blocks: dict[str, Block] = {}
    for moments in statements:
        one = moments[0]
        measures[one.measure] = None
        panel = " on ".join(dict.fromkeys((one.model, one.data)))
        block = blocks.setdefault(one.said, Block(one.said))
        block.rows.setdefault((panel, one.line), {})[one.measure] = moments
    return Grid(list(measures), list(blocks.values()))
