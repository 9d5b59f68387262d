"""The table of networks: name, resolution, classes, parameters and multiply-adds.

python main.py models

Each can be given as --model. They are counted by arithmetic, so the table comes at once.
"""

from types import SimpleNamespace

from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.zoo import list_models


def take_flags(take: FlagGroups) -> None:
    """None."""


def table() -> str:
    lines = [f"{'name':<24}{'pixels':>7}{'classes':>9}{'params':>14}{'multiply-adds':>18}"]
    for model in list_models():
        lines.append(
            f"{model.name:<24}{model.resolution:>7}{model.classes:>9}{model.params:>14,}"
            f"{model.multiply_adds:>18,}"
        )
    return "\n".join(lines)


def run(given: SimpleNamespace) -> None:
    print(table())
