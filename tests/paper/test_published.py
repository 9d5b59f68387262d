"""The paper's numbers against its own LaTeX tables, and what the printed digits leave open."""

import re

import pytest

from efficientnet_tf.paper.printed import Printed
from efficientnet_tf.paper.published import TABLE1, TABLE2, TABLE3, TABLE7, ScaledRow

# Rows of the tables as in the paper's source (arXiv 1905.11946v5), bold and citations taken out.
LATEX_1 = r"""
1 & Conv3x3 & $ 224 \times 224 $ & 32 & 1 \\
2 & MBConv1, k3x3 & $112 \times 112 $ & 16 &1 \\
3 & MBConv6, k3x3 & $112 \times 112$ & 24 & 2 \\
4 & MBConv6, k5x5 & $56 \times 56$ & 40 & 2 \\
5 & MBConv6, k3x3 & $28 \times 28 $ & 80 & 3 \\
6 & MBConv6, k5x5 & $14 \times 14$ & 112 & 3 \\
7 & MBConv6, k5x5 & $14 \times 14$ & 192 & 4 \\
8 & MBConv6, k3x3 & $7 \times 7$ & 320 & 1 \\
9 & Conv1x1 \& Pooling \& FC & $7 \times 7$ & 1280 & 1 \\
"""
LATEX_2 = r"""
EfficientNet-B0 & 77.1\% & 93.3\% & 5.3M & 1x & 0.39B & 1x \\
ResNet-50 & 76.0\% & 93.0\% & 26M & 4.9x & 4.1B & 11x \\
DenseNet-169 & 76.2\% & 93.2\% & 14M & 2.6x & 3.5B & 8.9x \\
EfficientNet-B1 & 79.1\% & 94.4\% & 7.8M & 1x & 0.70B & 1x \\
ResNet-152 & 77.8\% & 93.8\% & 60M & 7.6x & 11B & 16x \\
DenseNet-264 & 77.9\% & 93.9\% & 34M & 4.3x & 6.0B & 8.6x \\
Inception-v3 & 78.8\% & 94.4\% & 24M & 3.0x & 5.7B & 8.1x \\
Xception & 79.0\% & 94.5\% & 23M & 3.0x & 8.4B & 12x \\
EfficientNet-B2 & 80.1\% & 94.9\% & 9.2M & 1x & 1.0B & 1x \\
Inception-v4 & 80.0\% & 95.0\% & 48M & 5.2x & 13B & 13x \\
Inception-resnet-v2 & 80.1\% & 95.1\% & 56M & 6.1x & 13B & 13x \\
EfficientNet-B3 & 81.6\% & 95.7\% & 12M & 1x & 1.8B & 1x \\
ResNeXt-101 & 80.9\% & 95.6\% & 84M & 7.0x & 32B & 18x \\
PolyNet & 81.3\% & 95.8\% & 92M & 7.7x & 35B & 19x \\
EfficientNet-B4 & 82.9\% & 96.4\% & 19M & 1x & 4.2B & 1x \\
SENet & 82.7\% & 96.2\% & 146M & 7.7x & 42B & 10x \\
NASNet-A & 82.7\% & 96.2\% & 89M & 4.7x & 24B & 5.7x \\
AmoebaNet-A & 82.8\% & 96.1\% & 87M & 4.6x & 23B & 5.5x \\
PNASNet & 82.9\% & 96.2\% & 86M & 4.5x & 23B & 6.0x \\
EfficientNet-B5 & 83.6\% & 96.7\% & 30M & 1x & 9.9B & 1x \\
AmoebaNet-C & 83.5\% & 96.5\% & 155M & 5.2x & 41B & 4.1x \\
EfficientNet-B6 & 84.0\% & 96.8\% & 43M & 1x & 19B & 1x \\
EfficientNet-B7 & 84.3\% & 97.0\% & 66M & 1x & 37B & 1x \\
GPipe & 84.3\% & 97.0\% & 557M & 8.4x & - & - \\
"""
LATEX_3 = r"""
Baseline MobileNetV1 & 0.6B & 70.6\% \\
Scale MobileNetV1 by width ($w$ =2) & 2.2B & 74.2\% \\
Scale MobileNetV1 by resolution ($r$ =2)&2.2B & 72.7\% \\
compound scale ($d$ =1.4, $w$ =1.2, $r$ =1.3) & 2.3B & 75.6\% \\
Baseline MobileNetV2 & 0.3B & 72.0\% \\
Scale MobileNetV2 by depth ($d$ =4) & 1.2B & 76.8\% \\
Scale MobileNetV2 by width ($w$ =2) & 1.1B & 76.4\% \\
Scale MobileNetV2 by resolution ($r$ =2) & 1.2B & 74.8\% \\
MobileNetV2 compound scale & 1.3B & 77.4\% \\
Baseline ResNet-50 & 4.1B & 76.0\% \\
Scale ResNet-50 by depth ($d$ =4) & 16.2B & 78.1\% \\
Scale ResNet-50 by width ($w$ =2) & 14.7B & 77.7\% \\
Scale ResNet-50 by resolution ($r$ =2) & 16.4B & 77.5\% \\
ResNet-50 compound scale & 16.7B & 78.8\% \\
"""
LATEX_7 = r"""
Baseline model (EfficientNet-B0) & 0.4B & 77.3\% \\
Scale model by depth ($d$ =4) & 1.8B & 79.0\% \\
Scale model by width ($w$ =2) & 1.8B & 78.9\% \\
Scale model by resolution ($r$ =2) & 1.9B & 79.1\% \\
Compound Scale ($d$ =1.4, $w$ =1.2, $r$ =1.3) & 1.8B & 81.1\% \\
"""
NETWORKS = {
    "MobileNetV1": "mobilenet-v1",
    "MobileNetV2": "mobilenet-v2",
    "ResNet-50": "resnet-50",
    "EfficientNet-B0": "efficientnet-b0",
}


def cells(latex: str) -> list[list[str]]:
    lines = [line.removesuffix(r"\\") for line in latex.strip().splitlines()]
    rows = [re.split(r"(?<!\\)&", line) for line in lines]
    return [[cell.replace("\\%", "").replace("\\&", "&").strip() for cell in row] for row in rows]


def test_table1() -> None:
    expected = [
        (int(stage), operator, int(size.strip("$ ").split()[0]), int(channels), int(layers))
        for stage, operator, size, channels, layers in cells(LATEX_1)
    ]
    found = [(row.stage, row.operator, row.resolution, row.channels, row.layers) for row in TABLE1]
    assert found == expected


def test_table2() -> None:
    found = [
        [
            row.name,
            f"{row.top1:.1f}",
            f"{row.top5:.1f}",
            row.params.text,
            row.params_ratio.text,
            row.multiply_adds.text if row.multiply_adds else "-",
            row.multiply_adds_ratio.text if row.multiply_adds_ratio else "-",
        ]
        for row in TABLE2
    ]
    assert found == cells(LATEX_2)


def test_groups_of_table2_give_its_ratios() -> None:
    # The paper's ratios follow from its unrounded numbers: from the rounded ones within 6 %.
    params = {row.name: row.params.value for row in TABLE2}
    for row in TABLE2:
        ratio = params[row.name] / params[row.group]
        assert ratio == pytest.approx(row.params_ratio.value, rel=0.06), row.name


@pytest.mark.parametrize(("rows", "latex"), [(TABLE3, LATEX_3), (TABLE7, LATEX_7)])
def test_scaled_rows(rows: tuple[ScaledRow, ...], latex: str) -> None:
    network = ""
    for row, (name, flops, top1) in zip(rows, cells(latex), strict=True):
        network = next((ours for theirs, ours in NETWORKS.items() if theirs in name), network)
        printed = dict(re.findall(r"\$([dwr])\$ =([\d.]+)", name))
        assert row.network == network
        assert (row.multiply_adds.text, f"{row.top1:.1f}") == (flops, top1)
        is_compound = "compound scale" in name.lower()
        assert row.assumed == (is_compound and not printed)
        if not row.assumed:
            assert row.coefficients == " ".join(f"{key}={value}" for key, value in printed.items())
        kind = next((k for k in ("depth", "width", "resolution") if f"by {k}" in name), None)
        assert row.kind == (kind or ("compound" if is_compound else "baseline"))


def test_every_table_has_all_its_rows() -> None:
    assert [len(table) for table in (TABLE1, TABLE2, TABLE3, TABLE7)] == [9, 24, 14, 5]


@pytest.mark.parametrize(
    ("text", "low", "value", "high"),
    [
        ("4.1B", 4.05e9, 4.1e9, 4.15e9),
        ("0.70B", 0.695e9, 0.7e9, 0.705e9),
        ("557M", 556.5e6, 557e6, 557.5e6),
        ("4.9x", 4.85, 4.9, 4.95),
        ("11", 10.5, 11.0, 11.5),
    ],
)
def test_printed_digits_leave_an_interval(text: str, low: float, value: float, high: float) -> None:
    printed = Printed(text)
    assert (printed.low, printed.value, printed.high) == pytest.approx((low, value, high))
    assert printed.is_rounded_from(value)
    assert not printed.is_rounded_from(high * 1.001)
    assert printed.difference(1.1 * value) == pytest.approx(10.0)


@pytest.mark.parametrize("text", ["", "4,1B", "4.1G", "-", "x"])
def test_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="is no number as the paper prints them"):
        Printed(text)
