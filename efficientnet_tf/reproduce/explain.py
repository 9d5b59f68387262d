"""Why our multiply-adds differ from the paper's: what was found, as fixed sentences.

The found numbers are of other ways to round and to count, each tried on all rows of a network;
docs/scaling.md tells which.
"""

from efficientnet_tf.paper.printed import Printed
from efficientnet_tf.paper.published import ScaledRow

_V15 = "version 1.5 (strides in the 3x3) makes"
_EXCHANGED = "it agrees if the rows of depth and width are exchanged, which is conjecture"
_NOT_FOUND = "no way of counting that was tried reproduces it"
_REASONS = {
    "EfficientNet-B4": f"{_NOT_FOUND} without breaking the parameters; 361 to 368 px would print "
    "it",
    "EfficientNet-B5": f"{_NOT_FOUND} without breaking the parameters; no resolution prints it",
    "ResNet-50": "keras.applications has version 1; strides in the 3x3 (resnet-50-v1.5 here) make "
    "4.089B (-0.3 %)",
    "DenseNet-169": "not explained; with batch norm counted, 3.379B (-3.5 %)",
    "mobilenet-v1 compound": "2.290B (-0.4 %) with maps that are not rounded to whole pixels, "
    "2.243B (-2.5 %) at 288 px, a multiple of 32",
    "mobilenet-v2 compound": "1.311B (+0.9 %) with maps that are not rounded to whole pixels, "
    "1.284B (-1.2 %) at 288 px, a multiple of 32",
    "resnet-50 baseline": f"{_V15} 4.089B (-0.3 %)",
    "resnet-50 depth": f"{_V15} 14.571B, and 16.117B for w=2: {_EXCHANGED}",
    "resnet-50 resolution": f"{_V15} 16.351B (-0.3 %)",
    "resnet-50 compound": f"{_V15} 15.946B (-4.5 %)",
    "efficientnet-b0 depth": f"{_NOT_FOUND}; d from 4.05 to 4.50 would print it",
    "efficientnet-b0 width": f"{_NOT_FOUND}; w=2.20 would print it",
    "efficientnet-b0 resolution": f"{_NOT_FOUND}; r from 2.15 to 2.21 would print it",
}
CONTRADICTION = (
    "The paper prints 0.39B for B0 (Table 2), so at most 0.395B; w=2 and r=2 make at most 4 times "
    "that, 1.580B, but 1.8B is at least 1.750B and 1.9B at least 1.850B. No way of counting gives "
    "both: the coefficients used must be larger than the printed ones."
)


def reason(key: str, printed: Printed, value: float, tolerance: float) -> str:
    """Why a count differs from the printed one, if it does by more than `tolerance` percent.

    Args:
        key: the network's name in Table 2, or the baseline's and how it is scaled.
    """
    if abs(printed.difference(value)) <= tolerance:
        return ""
    if printed.is_rounded_from(value):
        return "rounds to the printed figure"
    return _REASONS.get(key, "not explained")


def remark(row: ScaledRow, multiply_adds: int) -> str:
    """What is to be said of our count beside a row of Table 3 or 7."""
    assumed = "coefficients not printed; taken as MobileNetV1's" if row.assumed else ""
    found = reason(f"{row.network} {row.kind}", row.multiply_adds, multiply_adds, tolerance=5.0)
    return ". ".join(part for part in (assumed, found) if part)
