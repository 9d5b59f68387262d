"""Tables 1 and 2 of the paper, its figures beside ours.

Published and measured accuracies are never in one table.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from efficientnet_tf.models.architecture import architecture_of
from efficientnet_tf.models.operations import count
from efficientnet_tf.models.resnet import RESNET_50_V15
from efficientnet_tf.models.staged import ScaledStages
from efficientnet_tf.models.variants import VARIANTS
from efficientnet_tf.paper.printed import Printed
from efficientnet_tf.paper.published import TABLE1, TABLE2, NetworkRow
from efficientnet_tf.reproduce import architectures, explain
from efficientnet_tf.reproduce.hypotheses import (
    CLASSES,
    HYPOTHESES,
    OURS,
    Hypothesis,
    as_b3,
    multiply_adds,
    scaled_by,
)
from efficientnet_tf.reproduce.results import Measured, measured_table
from efficientnet_tf.reproduce.staged_b0 import STAGED_B0
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

DIFFERS_FROM = 3.0  # percent
FAMILY = tuple(row for row in TABLE2 if row.is_ours)
# Those that can change a published EfficientNet.
TRIED = tuple(
    each
    for each in HYPOTHESES
    if not each.strides_in_3x3 and not each.exchanged and each.pixels is not as_b3
)


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


def _family(hypothesis: Hypothesis, row: NetworkRow) -> ScaledStages:
    """A published EfficientNet under a hypothesis."""
    variant = VARIANTS[row.name.lower()]
    return scaled_by(
        hypothesis,
        STAGED_B0,
        variant.depth_coefficient,
        variant.width_coefficient,
        variant.resolution / STAGED_B0.resolution,
    )


def _guesses(hypothesis: Hypothesis) -> list[explain.Guess]:
    """For the multiply-adds of B0 to B7."""
    return [
        explain.Guess(multiply_adds(hypothesis, _family(hypothesis, row)), printed, DIFFERS_FROM)
        for row in FAMILY
        for printed in (row.multiply_adds,)
        if printed is not None
    ]


def _worst(hypothesis: Hypothesis) -> float:
    """The largest difference in percent over B0 to B7."""
    return max(
        abs(each.printed.difference(each.value))
        for each in _guesses(hypothesis)
        if each.value is not None
    )


def _nearest(row: NetworkRow) -> str:
    """The hypothesis nearest to all of B0 to B7, what it makes of a row, and what it breaks."""
    found = min(TRIED, key=_worst)
    guess = _guesses(found)[FAMILY.index(row)]
    text = f"nearest to all eight: {found.name}, {guess.text}"
    broken = []
    for each in FAMILY:
        params = [
            count(_family(hypothesis, each).operations(CLASSES)).trainable_params
            for hypothesis in (OURS, found)
        ]
        if [each.params.is_rounded_from(number) for number in params] == [True, False]:
            name = each.name.removeprefix("EfficientNet-")
            broken.append(f"{name} {millions(params[1])} (paper {each.params.text})")
    return f"{text}, but parameters of {', '.join(broken)}" if broken else text


def _printing_sides(row: NetworkRow) -> str:
    """Image sides within a tenth of the published one that print the figure."""
    variant, printed = VARIANTS[row.name.lower()], row.multiply_adds
    sides = range(round(0.9 * variant.resolution), round(1.1 * variant.resolution) + 1)
    found = [
        side
        for side in sides
        for network in (replace(_family(OURS, row), resolution=side),)
        if printed is not None and printed.is_rounded_from(multiply_adds(OURS, network))
    ]
    return f"{found[0]} to {found[-1]} px would print it" if found else "no resolution prints it"


def _why(row: NetworkRow, printed: Printed, ours: architectures.Counted, value: float) -> str:
    """The reason why a count of Table 2 differs by more than 3 %."""
    if abs(printed.difference(value)) <= DIFFERS_FROM:
        return ""
    if printed.is_rounded_from(value):
        return "rounds to the printed figure"
    if row.name == "ResNet-50":
        version = count(RESNET_50_V15.scaled().operations(CLASSES)).multiply_adds
        return (
            "keras.applications has version 1; strides in the 3x3 (resnet-50-v1.5 here) make "
            f"{billions(version)} ({percent(printed.difference(version))})"
        )
    if row.is_ours:
        return f"{_nearest(row)}; {_printing_sides(row)}"
    counted = value + ours.normalised
    return (
        f"not explained; with batch norm counted, {billions(counted)} "
        f"({percent(printed.difference(counted))})"
    )


def table2(
    measured: Sequence[Measured] = (), counter: architectures.Counter = architectures.counted
) -> list[Table]:
    """All rows of Table 2, and the EfficientNets under each hypothesis.

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
            reasons = [_why(row, row.params, ours, ours.params)]
            cells[9] = ours.multiply_adds
            if row.multiply_adds is not None:
                cells[10] = row.multiply_adds.difference(ours.multiply_adds)
                reasons.append(_why(row, row.multiply_adds, ours, ours.multiply_adds))
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
        _table2_hypotheses(),
        *measured_table("table2", measured),
    ]


def _table2_hypotheses() -> Table:
    rows: list[list[Any]] = []
    for hypothesis in TRIED:
        guesses = _guesses(hypothesis)
        rows.append([hypothesis.name, *guesses, explain.agreeing(guesses)])
    title = "Table 2: the EfficientNets' multiply-adds under each hypothesis"
    headings = [row.name.removeprefix("EfficientNet-") for row in FAMILY]
    return explain.hypotheses_table("table2_hypotheses", title, headings, rows, DIFFERS_FROM)
