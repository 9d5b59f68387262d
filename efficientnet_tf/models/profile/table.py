"""A profile as text and as CSV."""

import csv
import dataclasses
from collections.abc import Sequence

from efficientnet_tf.errors import RunError
from efficientnet_tf.models.profile.measure import LayerProfile, Profile
from efficientnet_tf.terminal.table import aligned

_HEADINGS = ("layer", "kind", "output", "calls", "params", "multiply-adds", "share", "activations")
CSV_FIELDS = tuple(field.name for field in dataclasses.fields(LayerProfile))


def _size(shape: Sequence[int]) -> str:
    return "x".join(str(side) for side in shape)


def layers_text(profile: Profile) -> str:
    """A line for each layer: its share is that of the model's multiply-adds."""
    whole = profile.multiply_adds or 1
    rows = [_HEADINGS]
    for layer in profile.layers:
        rows.append(
            (
                layer.name,
                layer.kind,
                _size(layer.output_shape),
                str(layer.calls),
                f"{layer.total_params:,}",
                f"{layer.multiply_adds:,}",
                f"{100 * layer.multiply_adds / whole:.1f}%",
                f"{layer.activation_bytes:,}",
            )
        )
    return "\n".join(aligned(rows, "<<<>"))


def totals_text(profile: Profile) -> str:
    """The sums, what they leave out by definition, and what they may lack."""
    totals = (
        ("trainable params", f"{profile.trainable_params:,}"),
        ("all params", f"{profile.total_params:,}"),
        ("multiply-adds", f"{profile.multiply_adds:,}"),
        ("activation bytes", f"{profile.activation_bytes:,}"),
    )
    lines = aligned(totals)
    lines.append(
        "For one image. Multiply-adds are those of convolutions and matrix products; batch norm, "
        "biases,\nactivations, pooling and additions are not counted. Activations: the outputs of "
        "all layers."
    )
    if profile.uncounted:
        lines.append(f"warning: no rule for the multiply-adds of {', '.join(profile.uncounted)}")
    if profile.opaque:
        lines.append(
            f"warning: of {', '.join(profile.opaque)} only the layers inside are counted, not "
            "matrix products in their own code"
        )
    return "\n".join(lines)


def write_csv(profile: Profile, path: str) -> None:
    """A line for each layer with the fields of `LayerProfile`; output_shape as 112x112x32.

    Raises:
        RunError: the file cannot be written.
    """
    try:
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(CSV_FIELDS)
            for layer in profile.layers:
                fields = {**dataclasses.asdict(layer), "output_shape": _size(layer.output_shape)}
                writer.writerow([fields[name] for name in CSV_FIELDS])
    except OSError as error:
        raise RunError(f'cannot write "{path}": {error.strerror}.') from error
