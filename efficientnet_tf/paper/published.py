"""The paper's numbers (arXiv 1905.11946v5) as data, each row with where it stands. Nothing of ours.

Accuracies are percent, as printed. The accuracies of Figures 3 and 4 are only drawn in the paper,
not printed, so they are not here; Figure 8 stands beside Table 7, which prints one point of each
of its lines. Of Figure 6's points those that Table 5 prints are here, the others are only drawn.
"""

from dataclasses import dataclass, field

from efficientnet_tf.paper.printed import Printed


@dataclass(frozen=True)
class StageRow:
    """A row of Table 1; resolution is of the input of the stage in pixels."""

    stage: int
    operator: str
    resolution: int
    channels: int
    layers: int


TABLE1 = (
    StageRow(1, "Conv3x3", 224, 32, 1),
    StageRow(2, "MBConv1, k3x3", 112, 16, 1),
    StageRow(3, "MBConv6, k3x3", 112, 24, 2),
    StageRow(4, "MBConv6, k5x5", 56, 40, 2),
    StageRow(5, "MBConv6, k3x3", 28, 80, 3),
    StageRow(6, "MBConv6, k5x5", 14, 112, 3),
    StageRow(7, "MBConv6, k5x5", 14, 192, 4),
    StageRow(8, "MBConv6, k3x3", 7, 320, 1),
    StageRow(9, "Conv1x1 & Pooling & FC", 7, 1280, 1),
)


@dataclass(frozen=True)
class NetworkRow:
    """A row of Table 2.

    Attributes:
        name: of the network.
        top1, top5: percent on the validation set.
        params, params_ratio: the latter to the EfficientNet of the row's group.
        multiply_adds, multiply_adds_ratio: the paper's FLOPS; None where it prints a dash.
        group: the EfficientNet that the row is compared with.
    """

    name: str
    top1: float
    top5: float
    params: Printed
    params_ratio: Printed
    multiply_adds: Printed | None
    multiply_adds_ratio: Printed | None
    group: str

    @property
    def is_ours(self) -> bool:
        """Whether it is of the paper's own family."""
        return self.name == self.group

    @property
    def source(self) -> str:
        return f"Table 2, {self.name}"


def _table2(*lines: str) -> tuple[NetworkRow, ...]:
    rows, group = [], ""
    for line in lines:
        name, top1, top5, params, params_ratio, flops, flops_ratio = (
            cell.strip() for cell in line.split("|")
        )
        group = name if name.startswith("EfficientNet") else group
        rows.append(
            NetworkRow(
                name,
                float(top1),
                float(top5),
                Printed(params),
                Printed(params_ratio),
                None if flops == "-" else Printed(flops),
                None if flops_ratio == "-" else Printed(flops_ratio),
                group,
            )
        )
    return tuple(rows)


TABLE2 = _table2(
    "EfficientNet-B0     | 77.1 | 93.3 | 5.3M | 1x   | 0.39B | 1x",
    "ResNet-50           | 76.0 | 93.0 | 26M  | 4.9x | 4.1B  | 11x",
    "DenseNet-169        | 76.2 | 93.2 | 14M  | 2.6x | 3.5B  | 8.9x",
    "EfficientNet-B1     | 79.1 | 94.4 | 7.8M | 1x   | 0.70B | 1x",
    "ResNet-152          | 77.8 | 93.8 | 60M  | 7.6x | 11B   | 16x",
    "DenseNet-264        | 77.9 | 93.9 | 34M  | 4.3x | 6.0B  | 8.6x",
    "Inception-v3        | 78.8 | 94.4 | 24M  | 3.0x | 5.7B  | 8.1x",
    "Xception            | 79.0 | 94.5 | 23M  | 3.0x | 8.4B  | 12x",
    "EfficientNet-B2     | 80.1 | 94.9 | 9.2M | 1x   | 1.0B  | 1x",
    "Inception-v4        | 80.0 | 95.0 | 48M  | 5.2x | 13B   | 13x",
    "Inception-resnet-v2 | 80.1 | 95.1 | 56M  | 6.1x | 13B   | 13x",
    "EfficientNet-B3     | 81.6 | 95.7 | 12M  | 1x   | 1.8B  | 1x",
    "ResNeXt-101         | 80.9 | 95.6 | 84M  | 7.0x | 32B   | 18x",
    "PolyNet             | 81.3 | 95.8 | 92M  | 7.7x | 35B   | 19x",
    "EfficientNet-B4     | 82.9 | 96.4 | 19M  | 1x   | 4.2B  | 1x",
    "SENet               | 82.7 | 96.2 | 146M | 7.7x | 42B   | 10x",
    "NASNet-A            | 82.7 | 96.2 | 89M  | 4.7x | 24B   | 5.7x",
    "AmoebaNet-A         | 82.8 | 96.1 | 87M  | 4.6x | 23B   | 5.5x",
    "PNASNet             | 82.9 | 96.2 | 86M  | 4.5x | 23B   | 6.0x",
    "EfficientNet-B5     | 83.6 | 96.7 | 30M  | 1x   | 9.9B  | 1x",
    "AmoebaNet-C         | 83.5 | 96.5 | 155M | 5.2x | 41B   | 4.1x",
    "EfficientNet-B6     | 84.0 | 96.8 | 43M  | 1x   | 19B   | 1x",
    "EfficientNet-B7     | 84.3 | 97.0 | 66M  | 1x   | 37B   | 1x",
    "GPipe               | 84.3 | 97.0 | 557M | 8.4x | -     | -",
)


@dataclass(frozen=True)
class ScaledRow:
    """A row of Table 3 or 7.

    Attributes:
        table: 3 or 7.
        network: the baseline's name here.
        kind: "baseline", "depth", "width", "resolution" or "compound".
        multiply_adds: the paper's FLOPS.
        top1: percent.
        depth, width, resolution: coefficients; of compound rows, see `assumed`.
        assumed: the paper prints no coefficients for this row; those of MobileNetV1's are taken.
    """

    table: int
    network: str
    kind: str
    multiply_adds: Printed
    top1: float
    depth: float = 1.0
    width: float = 1.0
    resolution: float = 1.0
    assumed: bool = field(default=False, kw_only=True)

    @property
    def coefficients(self) -> str:
        """`d=1.4 w=1.2 r=1.3`, without those that are 1; empty for a baseline."""
        pairs = (("d", self.depth), ("w", self.width), ("r", self.resolution))
        return " ".join(f"{letter}={value:g}" for letter, value in pairs if value != 1.0)

    @property
    def name(self) -> str:
        """Such as `mobilenet-v2 d=4`."""
        return f"{self.network} {self.coefficients or 'baseline'}"


COMPOUND = (1.4, 1.2, 1.3)
TABLE3 = (
    ScaledRow(3, "mobilenet-v1", "baseline", Printed("0.6B"), 70.6),
    ScaledRow(3, "mobilenet-v1", "width", Printed("2.2B"), 74.2, width=2.0),
    ScaledRow(3, "mobilenet-v1", "resolution", Printed("2.2B"), 72.7, resolution=2.0),
    ScaledRow(3, "mobilenet-v1", "compound", Printed("2.3B"), 75.6, *COMPOUND),
    ScaledRow(3, "mobilenet-v2", "baseline", Printed("0.3B"), 72.0),
    ScaledRow(3, "mobilenet-v2", "depth", Printed("1.2B"), 76.8, depth=4.0),
    ScaledRow(3, "mobilenet-v2", "width", Printed("1.1B"), 76.4, width=2.0),
    ScaledRow(3, "mobilenet-v2", "resolution", Printed("1.2B"), 74.8, resolution=2.0),
    ScaledRow(3, "mobilenet-v2", "compound", Printed("1.3B"), 77.4, *COMPOUND, assumed=True),
    ScaledRow(3, "resnet-50", "baseline", Printed("4.1B"), 76.0),
    ScaledRow(3, "resnet-50", "depth", Printed("16.2B"), 78.1, depth=4.0),
    ScaledRow(3, "resnet-50", "width", Printed("14.7B"), 77.7, width=2.0),
    ScaledRow(3, "resnet-50", "resolution", Printed("16.4B"), 77.5, resolution=2.0),
    ScaledRow(3, "resnet-50", "compound", Printed("16.7B"), 78.8, *COMPOUND, assumed=True),
)
TABLE7 = (
    ScaledRow(7, "efficientnet-b0", "baseline", Printed("0.4B"), 77.3),
    ScaledRow(7, "efficientnet-b0", "depth", Printed("1.8B"), 79.0, depth=4.0),
    ScaledRow(7, "efficientnet-b0", "width", Printed("1.8B"), 78.9, width=2.0),
    ScaledRow(7, "efficientnet-b0", "resolution", Printed("1.9B"), 79.1, resolution=2.0),
    ScaledRow(7, "efficientnet-b0", "compound", Printed("1.8B"), 81.1, *COMPOUND),
)


@dataclass(frozen=True)
class TransferResult:
    """A network of Table 5 on one data set.

    Attributes:
        network: its name.
        accuracy: percent.
        params: without the classifier; None where the paper prints a dash.
    """

    network: str
    accuracy: float
    params: Printed | None


@dataclass(frozen=True)
class TransferRow:
    """Half a row of Table 5: what it compares with, and the EfficientNet beside it.

    Attributes:
        data_set: name as in Table 6.
        against: "public" (best public-available results) or "reported" (best reported results).
        other, ours: theirs and the EfficientNet.
        ratio: of the parameters; None where the paper prints a dash.
    """

    data_set: str
    against: str
    other: TransferResult
    ours: TransferResult
    ratio: Printed | None


def _table5(against: str, *lines: str) -> tuple[TransferRow, ...]:
    rows = []
    for line in lines:
        name, other, other_top1, other_params, ours, ours_top1, ours_params, ratio = (
            cell.strip() for cell in line.split("|")
        )
        printed = [None if cell == "-" else Printed(cell) for cell in (other_params, ours_params)]
        rows.append(
            TransferRow(
                name,
                against,
                TransferResult(other, float(other_top1), printed[0]),
                TransferResult(f"EfficientNet-{ours}", float(ours_top1), printed[1]),
                None if ratio == "-" else Printed(ratio),
            )
        )
    return tuple(rows)


TABLE5 = _table5(
    "public",
    "CIFAR-10         | NASNet-A     | 98.0 | 85M | B0 | 98.1 | 4M  | 21x",
    "CIFAR-100        | NASNet-A     | 87.5 | 85M | B0 | 88.1 | 4M  | 21x",
    "Birdsnap         | Inception-v4 | 81.8 | 41M | B5 | 82.0 | 28M | 1.5x",
    "Stanford Cars    | Inception-v4 | 93.4 | 41M | B3 | 93.6 | 10M | 4.1x",
    "Flowers          | Inception-v4 | 98.5 | 41M | B5 | 98.5 | 28M | 1.5x",
    "FGVC Aircraft    | Inception-v4 | 90.9 | 41M | B3 | 90.7 | 10M | 4.1x",
    "Oxford-IIIT Pets | ResNet-152   | 94.5 | 58M | B4 | 94.8 | 17M | 5.6x",
    "Food-101         | Inception-v4 | 90.8 | 41M | B4 | 91.5 | 17M | 2.4x",
) + _table5(
    "reported",
    "CIFAR-10         | GPipe | 99.0 | 556M | B7 | 98.9 | 64M | 8.7x",
    "CIFAR-100        | GPipe | 91.3 | 556M | B7 | 91.7 | 64M | 8.7x",
    "Birdsnap         | GPipe | 83.6 | 556M | B7 | 84.3 | 64M | 8.7x",
    "Stanford Cars    | DAT   | 94.8 | -    | B7 | 94.7 | -   | -",
    "Flowers          | DAT   | 97.7 | -    | B7 | 98.8 | -   | -",
    "FGVC Aircraft    | DAT   | 92.9 | -    | B7 | 92.9 | -   | -",
    "Oxford-IIIT Pets | GPipe | 95.9 | 556M | B6 | 95.4 | 41M | 14x",
    "Food-101         | GPipe | 93.0 | 556M | B7 | 93.0 | 64M | 8.7x",
)
TABLE5_GEO_MEANS = {"public": Printed("4.7x"), "reported": Printed("9.6x")}
