"""The table of networks: name, resolution, classes, parameters and multiply-adds.

python main.py models

Each name can be given as --model. The numbers are counted by arithmetic, so the table comes at
once.
"""

from types import SimpleNamespace

from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.terminal.table import aligned
from efficientnet_tf.zoo import list_models


def take_flags(take: FlagGroups) -> None:
    """None."""


def table() -> str:
    rows: list[tuple[str, ...]] = [("name", "pixels", "classes", "params", "multiply-adds")]
    for model in list_models():
        numbers = (model.resolution, model.classes, f"{model.params:,}", f"{model.multiply_adds:,}")
        rows.append((model.name, *map(str, numbers)))
    return "\n".join(aligned(rows))


def run(given: SimpleNamespace) -> None:
    print(table())
