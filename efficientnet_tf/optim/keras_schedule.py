"""The schedule as a Keras object, for `model.compile` and for saved `.keras` files.

Apart from schedule.py, because that file must not load Keras.
"""

from dataclasses import asdict
from typing import Any

import keras

from efficientnet_tf.optim.schedule import Schedule


@keras.saving.register_keras_serializable(package="efficientnet_tf")
class KerasSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """`Schedule` in the form that the `learning_rate` argument of a Keras optimizer takes.

    Args:
        schedule: the Schedule to follow; the step is the optimizer's count of updates.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def __call__(self, step: Any) -> Any:
        """Rate of `step`; see `Schedule.__call__`."""
        return self.schedule(step)

    def get_config(self) -> dict[str, Any]:
        """The fields of the Schedule."""
        return asdict(self.schedule)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "KerasSchedule":
        """The inverse of `get_config`."""
        return cls(Schedule(**config))
