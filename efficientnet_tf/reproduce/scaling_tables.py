"""Tables 3 and 7 of the paper: networks scaled by depth, width, resolution and all three.

Published and measured accuracies are never in one table.
"""

from collections.abc import Sequence

from efficientnet_tf.paper.published import TABLE3, TABLE7, ScaledRow
from efficientnet_tf.reproduce import explain
from efficientnet_tf.reproduce.hypotheses import BASELINES, HYPOTHESES, OURS, nearest_pixel
from efficientnet_tf.reproduce.results import Measured, measured_table
from efficientnet_tf.reproduce.table import (
    Column,
    Table,
    accuracy,
    billions,
    percent,
    printed_column,
)


def _scaled_rows(name: str, title: str, rows: tuple[ScaledRow, ...]) -> list[Table]:
    columns = (
        Column("Model"),
        Column("Scaled by"),
        Column("Coefficients"),
        Column("Resolution, px"),
        printed_column("Multiply-adds, paper"),
        Column("Multiply-adds, ours", billions),
        Column("Difference", percent),
        Column("Top-1, published", accuracy),
        Column("Remark"),
    )
    cells = []
    for row in rows:
        ours = explain.guess(OURS, row, rows).value
        cells.append(
            (
                row.network,
                row.kind,
                row.coefficients or None,
                nearest_pixel(BASELINES[row.network].resolution * row.resolution),
                row.multiply_adds,
                ours,
                None if ours is None else row.multiply_adds.difference(ours),
                row.top1,
                explain.remark(row, rows),
            )
        )
    found = [explain.contradiction(row, rows) for row in rows]
    tables = [Table(name, title, columns, cells, tuple(each for each in found if each))]
    for network in dict.fromkeys(row.network for row in rows):
        family = [row for row in rows if row.network == network]
        tried = [h for h in HYPOTHESES if explain.guess(h, family[0], rows).value is not None]
        lines = []
        for hypothesis in tried:
            guesses = [explain.guess(hypothesis, row, rows) for row in family]
            lines.append([hypothesis.name, *guesses, explain.agreeing(guesses)])
        headings = [f"{row.coefficients or 'baseline'}: {row.multiply_adds.text}" for row in family]
        tables.append(
            explain.hypotheses_table(
                f"{name}_hypotheses_{network}",
                f"{title.split(':')[0]}: {network} under each hypothesis",
                headings,
                lines,
            )
        )
    return tables


def table3(measured: Sequence[Measured] = ()) -> list[Table]:
    """MobileNets and ResNet-50 scaled, and every row under each hypothesis."""
    title = "Table 3: scaling MobileNets and ResNet-50"
    return [*_scaled_rows("table3", title, TABLE3), *measured_table("table3", measured)]


def table7(measured: Sequence[Measured] = ()) -> list[Table]:
    """EfficientNet-B0 scaled four ways, and every row under each hypothesis."""
    title = "Table 7: EfficientNet-B0 scaled four ways (also Figure 8)"
    return [*_scaled_rows("table7", title, TABLE7), *measured_table("table7", measured)]
