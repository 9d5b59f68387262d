"""RMSProp as TF1 computed it: the update rule as a pure function, and a Keras optimizer around it.

One step, per element, with g the gradient (weight decay included, see loss.py):

    mean_square <- rho * mean_square + (1 - rho) * g ** 2
    momentum_buffer <- momentum * momentum_buffer + learning_rate * g / sqrt(mean_square + epsilon)
    weight <- weight - momentum_buffer

`mean_square` starts at ONE and `epsilon` is inside the root. Both belong to the recipe: with a
start at zero the first step for a gradient of 0.01 is 30 times larger.

Differences
- From the paper (section 5.2: "RMSProp optimizer with decay 0.9 and momentum 0.9"): it does not
  give epsilon, the initial value or where the learning rate enters; those are the official code's.
- From the official TPU code (tf.compat.v1.train.RMSPropOptimizer): no centred variant; sparse
  gradients are refused. The slots RMSProp and RMSProp_1 are called mean_square and momentum here.
- From keras.optimizers.RMSprop: mean_square starts at one, not at zero; defaults are the recipe's
  (Keras has epsilon 1e-7 and no momentum); the momentum slot exists even if momentum is 0.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from efficientnet_tf.errors import UsageError

RHO = 0.9
MOMENTUM = 0.9
EPSILON = 1e-3
INITIAL_MEAN_SQUARE = 1.0


def rmsprop_update(
    weight: Any,
    gradient: Any,
    mean_square: Any,
    momentum_buffer: Any,
    learning_rate: Any,
    rho: float = RHO,
    momentum: float = MOMENTUM,
    epsilon: float = EPSILON,
) -> tuple[Any, Any, Any]:
    """One step for one weight; nothing is assigned.

    Args:
        weight, gradient, mean_square, momentum_buffer: tensors or variables of one shape and dtype.
            Before the first step mean_square is INITIAL_MEAN_SQUARE and momentum_buffer 0.
        learning_rate: a float or a scalar tensor of that dtype.
        rho: part of the old mean square that is kept, in [0, 1).
        momentum: part of the old momentum buffer that is kept, in [0, 1).
        epsilon: positive, added to the mean square under the root.

    Returns:
        (new weight, new mean_square, new momentum_buffer).
    """
    # 1 - rho in the weights' dtype, as TF1: 1 - float32(0.9) is not float32(0.1).
    renewed = 1.0 - ops.cast(rho, mean_square.dtype)
    new_mean_square = mean_square + (ops.square(gradient) - mean_square) * renewed
    # A root and a division, not rsqrt: the order of TF1's kernel, equal to it to the last bit.
    step = gradient * learning_rate / ops.sqrt(new_mean_square + epsilon)
    # The learning rate goes into the buffer, so a drop of it fades in over the next ten steps.
    new_momentum_buffer = momentum_buffer * momentum + step
    return weight - new_momentum_buffer, new_mean_square, new_momentum_buffer


@keras.saving.register_keras_serializable(package="efficientnet_tf")
class RMSProp(keras.optimizers.Optimizer):
    """The official optimizer as a Keras optimizer, for `compile`, `apply_gradients` and saving.

    The base class's `weight_decay` is decoupled and its `use_ema` has no ramp and leaves out the
    batch-norm statistics. For the paper's recipe leave both off and use loss.py and ema.py.

    Args:
        learning_rate: a float, a KerasSchedule or what else a Keras optimizer takes. 0.016 is the
            rate for a global batch of 256 (schedule.scaled_learning_rate).
        rho: decay of the mean square, in [0, 1).
        momentum: decay of the momentum buffer, in [0, 1).
        epsilon: positive, added to the mean square under the root.
        initial_mean_square: what the mean square starts at, zero or more. Keras has 0.
        **kwargs: of keras.optimizers.Optimizer (name, clipnorm, global_clipnorm, ...).

    Raises UsageError if a value is out of its range.
    """

    def __init__(
        self,
        learning_rate: Any = 0.016,
        rho: float = RHO,
        momentum: float = MOMENTUM,
        epsilon: float = EPSILON,
        initial_mean_square: float = INITIAL_MEAN_SQUARE,
        **kwargs: Any,
    ) -> None:
        for name, value, met, expected, recipe in (
            ("rho", rho, 0 <= rho < 1, "in [0, 1)", RHO),
            ("momentum", momentum, 0 <= momentum < 1, "in [0, 1)", MOMENTUM),
            ("epsilon", epsilon, epsilon > 0, "positive", EPSILON),
            (
                "initial_mean_square",
                initial_mean_square,
                initial_mean_square >= 0,
                "zero or more",
                INITIAL_MEAN_SQUARE,
            ),
        ):
            if not met:
                raise UsageError(
                    f"{name} must be {expected}; received {value!r}. The recipe has {recipe}."
                )
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.initial_mean_square = initial_mean_square

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the two slots of every variable."""
        if self.built:
            return
        super().build(variables)
        self._mean_squares = self.add_optimizer_variables(
            variables,
            "mean_square",
            initializer=keras.initializers.Constant(self.initial_mean_square),
        )
        self._momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Assigns the result of `rmsprop_update` to the variable and its slots.

        Raises UsageError for a sparse gradient, whose repeated rows would be squared one by one.
        """
        if hasattr(gradient, "dense_shape"):
            raise UsageError(
                f"gradient of {variable.name} must be a dense tensor; received "
                f"{type(gradient).__name__}. Convert it with tf.convert_to_tensor first."
            )
        index = self._get_variable_index(variable)
        mean_square = self._mean_squares[index]
        momentum_buffer = self._momentums[index]
        new_weight, new_mean_square, new_momentum_buffer = rmsprop_update(
            variable,
            ops.cast(gradient, variable.dtype),
            mean_square,
            momentum_buffer,
            ops.cast(learning_rate, variable.dtype),
            self.rho,
            self.momentum,
            self.epsilon,
        )
        self.assign(mean_square, new_mean_square)
        self.assign(momentum_buffer, new_momentum_buffer)
        self.assign(variable, new_weight)

    def get_config(self) -> dict[str, Any]:
        """All arguments, those of the base class included."""
        return {
            **super().get_config(),
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "initial_mean_square": self.initial_mean_square,
        }
