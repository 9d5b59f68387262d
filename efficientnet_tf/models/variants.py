"""The published members of the family as data, and their block strings. No TensorFlow here.

Sources: Table 1 and section 5.2 of the paper for B0-B7; the official code's tables for B8, L2,
lite and EdgeTPU. Width, depth, resolution and dropout of B1-B7 are the
hand-rounded values of the release, not powers of alpha, beta, gamma.
"""

from dataclasses import dataclass

from efficientnet_tf.errors import UsageError, nearest

B0_BLOCKS = (
    "r1_k3_s11_e1_i32_o16_se0.25",
    "r2_k3_s22_e6_i16_o24_se0.25",
    "r2_k5_s22_e6_i24_o40_se0.25",
    "r3_k3_s22_e6_i40_o80_se0.25",
    "r3_k5_s11_e6_i80_o112_se0.25",
    "r4_k5_s22_e6_i112_o192_se0.25",
    "r1_k3_s11_e6_i192_o320_se0.25",
)
# The official lite tables keep the SE tokens and switch SE off elsewhere; here they say no SE.
LITE_BLOCKS = tuple(string.removesuffix("_se0.25") for string in B0_BLOCKS)
EDGETPU_BLOCKS = (
    "r1_k3_s11_e4_i24_o24_c1_noskip",
    "r2_k3_s22_e8_i24_o32_c1",
    "r4_k3_s22_e8_i32_o48_c1",
    "r5_k5_s22_e8_i48_o96",
    "r4_k5_s11_e8_i96_o144",
    "r2_k5_s22_e8_i144_o192",
)

# Per channel, red, green, blue, on the scale 0..255.
IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)
CENTRED_MEAN = (127.0, 127.0, 127.0)
CENTRED_STD = (128.0, 128.0, 128.0)


@dataclass(frozen=True)
class Variant:
    """A published network: everything that distinguishes it from its siblings.

    Attributes:
        name: as given to `--model`.
        width_coefficient, depth_coefficient: of the block strings' filters and repeats.
        resolution: side of the square input image in pixels.
        dropout_rate: before the classifier.
        blocks_args: block strings, one per stage.
        activation: "swish", "relu6" or "relu".
        mean, std: of the input normalisation, on 0..255.
        fixed_stem_and_head: lite: stem and head keep their filters, the first and the last stage
            their repeats.
        classes: of the published checkpoints (1001 with a background class for EdgeTPU).
    """

    name: str
    width_coefficient: float
    depth_coefficient: float
    resolution: int
    dropout_rate: float
    blocks_args: tuple[str, ...] = B0_BLOCKS
    activation: str = "swish"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    fixed_stem_and_head: bool = False
    classes: int = 1000


def _lite(index: int, width: float, depth: float, resolution: int, dropout: float) -> Variant:
    return Variant(
        name=f"efficientnet-lite{index}",
        width_coefficient=width,
        depth_coefficient=depth,
        resolution=resolution,
        dropout_rate=dropout,
        blocks_args=LITE_BLOCKS,
        activation="relu6",
        mean=CENTRED_MEAN,
        std=CENTRED_STD,
        fixed_stem_and_head=True,
    )


def _edgetpu(size: str, width: float, depth: float, resolution: int, dropout: float) -> Variant:
    return Variant(
        name=f"efficientnet-edgetpu-{size}",
        width_coefficient=width,
        depth_coefficient=depth,
        resolution=resolution,
        dropout_rate=dropout,
        blocks_args=EDGETPU_BLOCKS,
        activation="relu",
        mean=CENTRED_MEAN,
        std=CENTRED_STD,
        classes=1001,
    )


VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant("efficientnet-b0", 1.0, 1.0, 224, 0.2),
        Variant("efficientnet-b1", 1.0, 1.1, 240, 0.2),
        Variant("efficientnet-b2", 1.1, 1.2, 260, 0.3),
        Variant("efficientnet-b3", 1.2, 1.4, 300, 0.3),
        Variant("efficientnet-b4", 1.4, 1.8, 380, 0.4),
        Variant("efficientnet-b5", 1.6, 2.2, 456, 0.4),
        Variant("efficientnet-b6", 1.8, 2.6, 528, 0.5),
        Variant("efficientnet-b7", 2.0, 3.1, 600, 0.5),
        Variant("efficientnet-b8", 2.2, 3.6, 672, 0.5),
        Variant("efficientnet-l2", 4.3, 5.3, 800, 0.5),
        _lite(0, 1.0, 1.0, 224, 0.2),
        _lite(1, 1.0, 1.1, 240, 0.2),
        _lite(2, 1.1, 1.2, 260, 0.3),
        _lite(3, 1.2, 1.4, 280, 0.3),
        _lite(4, 1.4, 1.8, 300, 0.3),
        _edgetpu("S", 1.0, 1.0, 224, 0.2),
        _edgetpu("M", 1.0, 1.1, 240, 0.2),
        _edgetpu("L", 1.2, 1.4, 300, 0.3),
    )
}


def find_variant(name: str) -> Variant:
    """The variant called `name` (upper or lower case).

    Raises:
        UsageError: no such variant; the message offers the nearest names.
    """
    lowered = str(name).lower()
    for known, variant in VARIANTS.items():
        if known.lower() == lowered:
            return variant
    raise UsageError(
        f'unknown model "{name}".{nearest(str(name), VARIANTS)} '
        "`python main.py --list_models` lists all."
    )
