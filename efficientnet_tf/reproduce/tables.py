"""Tables 1, 2, 3 and 7 of the paper, its figures beside ours.

Published and measured accuracies are never in one table.
"""

from collections.abc import Sequence
from typing import Any

from efficientnet_tf.models.architecture import architecture_of
from efficientnet_tf.models.compound import Factors, scale
from efficientnet_tf.models.networks import find_network
from efficientnet_tf.models.variants import VARIANTS
from efficientnet_tf.paper.published import TABLE1, TABLE2, TABLE3, TABLE7, ScaledRow
from efficientnet_tf.reproduce import architectures, explain
from efficientnet_tf.reproduce.results import Measured, measured_table
from efficientnet_tf.reproduce.table import (
    Column,
    Table,
    accuracy,
    billions,
    millions,
    percent,
    printed_column,
    ratio,
)

DIFFERS_FROM = 3.0  # percent, in Table 2


def _b0_stages() -> list[tuple[str, int, int, int]]:
    """(operator, resolution of its input, channels, layers) of B0 as it is built here."""
    baseline = architecture_of(VARIANTS["efficientnet-b0"])
    found = [("Conv3x3", baseline.resolution, baseline.stem_filters, 1)]
    side = baseline.resolution // 2
    for block in baseline.blocks:
        ratio_of_block = block.expanded_filters // block.input_filters
        operator = f"MBConv{ratio_of_block}, k{block.kernel_size}x{block.kernel_size}"
        if (found[-1][0], found[-1][2]) == (operator, block.output_filters):
            operator, entered, filters, layers = found.pop()
            found.append((operator, entered, filters, layers + 1))
        else:
            found.append((operator, side, block.output_filters, 1))
        side //= max(block.strides)
    return [*found, ("Conv1x1 & Pooling & FC", side, baseline.head_filters, 1)]


def table1() -> list[Table]:
    """The B0 baseline network, stage by stage."""
    rows = []
    for row, ours in zip(TABLE1, _b0_stages(), strict=True):
        operator, side, channels, layers = ours
        same = ours == (row.operator, row.resolution, row.channels, row.layers)
        text = "same" if same else f"{operator}, {side} px, {channels} channels, {layers} layers"
        size = f"{row.resolution}x{row.resolution}"
        rows.append((row.stage, row.operator, size, row.channels, row.layers, text))
    headings = ("Stage", "Operator", "Resolution", "Channels", "Layers", "Ours")
    columns = tuple(Column(heading) for heading in headings)
    return [
        Table("table1", "Table 1: EfficientNet-B0, the paper's columns and ours", columns, rows)
    ]


def table2(
    measured: Sequence[Measured] = (), counter: architectures.Counter = architectures.counted
) -> list[Table]:
    """All rows of Table 2.

    Args:
        counter: gives what stands for a network of the paper.
    """
    counts = {row.name: counter(row.name) for row in TABLE2}
    columns: list[Column] = [
        Column("Model"),
        Column("Top-1, published", accuracy),
        Column("Top-5, published", accuracy),
        printed_column("Params, paper"),
        Column("Params, ours", millions),
        Column("Difference of params", percent),
        printed_column("Ratio of params, paper"),
        Column("Ratio of params, ours", ratio),
        printed_column("Multiply-adds, paper"),
        Column("Multiply-adds, ours", billions),
        Column("Difference of multiply-adds", percent),
        printed_column("Ratio of multiply-adds, paper"),
        Column("Ratio of multiply-adds, ours", ratio),
        Column("Stand-in"),
        Column("Remark"),
    ]
    rows = []
    for row in TABLE2:
        ours, group = counts[row.name], counts[row.group]
        cells: list[Any] = [row.name, row.top1, row.top5, row.params, None, None, row.params_ratio]
        cells += [None, row.multiply_adds, None, None, row.multiply_adds_ratio, None]
        cells += ["none here or in keras.applications", ""]
        if ours is not None:
            cells[4], cells[5] = ours.params, row.params.difference(ours.params)
            cells[13] = ours.stand_in
            reasons = [explain.reason(row.name, row.params, ours.params, DIFFERS_FROM)]
            cells[9] = ours.multiply_adds
            if row.multiply_adds is not None:
                cells[10] = row.multiply_adds.difference(ours.multiply_adds)
                reasons.append(
                    explain.reason(row.name, row.multiply_adds, ours.multiply_adds, DIFFERS_FROM)
                )
            cells[14] = "; ".join(reason for reason in reasons if reason)
            if group is not None:
                cells[7] = ours.params / group.params
                cells[12] = ours.multiply_adds / group.multiply_adds
        rows.append(cells)
    title = "Table 2: EfficientNet and other networks on ImageNet"
    notes = (
        "Ratios are to the EfficientNet above. Accuracies are the paper's; trainable parameters "
        "and multiply-adds (the paper's FLOPS) of the stand-ins are counted now.",
    )
    return [
        Table("table2", title, tuple(columns), rows, notes),
        *measured_table("table2", measured),
    ]


def _scaled_table(name: str, title: str, rows: Sequence[ScaledRow], *notes: str) -> Table:
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
        factors = Factors(row.depth, row.width, row.resolution)
        ours = scale(find_network(row.network), factors)
        multiply_adds = ours.counts.multiply_adds
        cells.append(
            (
                row.network,
                row.kind,
                row.coefficients or None,
                ours.network.resolution,
                row.multiply_adds,
                multiply_adds,
                row.multiply_adds.difference(multiply_adds),
                row.top1,
                explain.remark(row, multiply_adds),
            )
        )
    return Table(name, title, columns, cells, notes)


def table3(measured: Sequence[Measured] = ()) -> list[Table]:
    """MobileNets and ResNet-50 scaled by depth, width, resolution and all three."""
    title = "Table 3: scaling MobileNets and ResNet-50"
    return [_scaled_table("table3", title, TABLE3), *measured_table("table3", measured)]


def table7(measured: Sequence[Measured] = ()) -> list[Table]:
    """EfficientNet-B0 scaled four ways."""
    title = "Table 7: EfficientNet-B0 scaled four ways (also Figure 8)"
    main = _scaled_table("table7", title, TABLE7, explain.CONTRADICTION)
    return [main, *measured_table("table7", measured)]
