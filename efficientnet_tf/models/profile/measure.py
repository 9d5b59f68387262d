"""Parameters, multiply-adds and activations of any Keras model, layer by layer.

Nothing is looked up: the model is run on the shape of one image, without numbers, and every call of
a layer or operation is counted by the rules of multiply_adds.py. Functional and Sequential
models are followed through their graphs, nested ones too; the call of a subclassed model or layer
is traced, and the layers it calls are counted. A layer called twice costs twice the multiply-adds
and once the weights. What these rules do not cover is in `Profile.uncounted` and `Profile.opaque`.

Differences from `operations.count`, which sees weighted operations alone: `activation_bytes` here
is of the outputs of all layers, batch norm, activations and additions included.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from efficientnet_tf.errors import UsageError, whole_number
from efficientnet_tf.models.profile import multiply_adds
from efficientnet_tf.models.profile.layer_calls import Call, layer_calls, tensors
from efficientnet_tf.models.profile.parts import inner_layers, own_weights

# They put out the tensor that they were given.
_VIEWS = ("ExpandDims", "Flatten", "Identity", "InputLayer", "Reshape", "Squeeze")
NUMBER_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}


@dataclass(frozen=True)
class LayerProfile:
    """One layer: its weights, and what all its calls for one image cost.

    Attributes:
        name: of the layer; `outer/inner` inside a nested model or layer.
        kind: its class.
        trainable_params, total_params: of weights that no line above has already.
        multiply_adds: for one image.
        calls: how often the model calls it; 0 if it has weights and was not seen at work.
        output_shape: of the first call's first output, without the batch axis.
        activation_bytes: of its outputs for one image.
        coverage: "counted", "opaque" or "uncounted", see `Profile`.
    """

    name: str
    kind: str
    trainable_params: int
    total_params: int
    multiply_adds: int
    calls: int
    output_shape: tuple[int, ...]
    activation_bytes: int
    coverage: str


@dataclass(frozen=True)
class Profile:
    """Sums over the layers of a model; multiply-adds and activations are for one image.

    Trainable parameters count what training can change, as in the official code: gamma and beta
    of batch norm are in, moving statistics are not, whether or not a layer is frozen.

    Activations are the outputs of all layers, and of bare operations of a functional graph, but
    for the inputs and for what only renames or reshapes a tensor. Nothing is fused or freed, and
    what a layer computes on the way to its output is not seen: it is the same on every machine,
    and no measurement of memory.
    """

    layers: tuple[LayerProfile, ...]

    @property
    def trainable_params(self) -> int:
        return sum(layer.trainable_params for layer in self.layers)

    @property
    def total_params(self) -> int:
        return sum(layer.total_params for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def activation_bytes(self) -> int:
        return sum(layer.activation_bytes for layer in self.layers)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Kinds of layers with matrix products, or with weights, but without a rule.

        As long as it is not empty, `multiply_adds` may be too small.
        """
        return self._kinds(multiply_adds.UNCOUNTED)

    @property
    def opaque(self) -> tuple[str, ...]:
        """Kinds with code of their own, a custom layer or Lambda.

        Layers that this code calls are counted, bare operations (`ops.matmul`) in it are not.
        """
        return self._kinds(multiply_adds.OPAQUE)

    def _kinds(self, coverage: str) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys(
                layer.kind if layer.calls else f"{layer.kind} (never called)"
                for layer in self.layers
                if layer.coverage == coverage
            )
        )


class _Tally:
    """The lines of a profile while calls are added to them."""

    def __init__(self, images: int, number_bytes: int) -> None:
        self.lines: dict[int, LayerProfile] = {}
        self._images = images
        self._number_bytes = number_bytes
        self._seen: set[int] = set()

    def add(self, call: Call) -> None:
        layer = call.operation
        shapes = [tuple(x.shape) for x in tensors(call.outputs)]
        if any(side is None for shape in shapes for side in shape):
            raise UsageError(
                f'layer "{call.name}" has an output of no fixed size, shape {shapes[0]}: it '
                "depends on the numbers, not only on the shape of the input, and cannot be counted."
            )
        if id(layer) not in self.lines:
            self.lines[id(layer)] = self._line(call.name, layer, call.opened, shapes)
        line = self.lines[id(layer)]
        rule = (multiply_adds.own_rule_of if call.opened else multiply_adds.rule_of)(layer)
        cost = rule(layer, call.args, call.kwargs, call.outputs) if rule else 0
        new = () if line.kind in _VIEWS else call.own_outputs
        numbers = sum(math.prod(x.shape) for x in new)
        self.lines[id(layer)] = replace(
            line,
            calls=line.calls + 1,
            multiply_adds=line.multiply_adds + cost // self._images,
            activation_bytes=line.activation_bytes + numbers * self._number_bytes // self._images,
        )

    def add_rest(self, layer: Any) -> None:
        """A layer whose weights no call has shown."""
        if any(id(weight) not in self._seen for weight, _ in own_weights(layer)):
            self.lines[id(layer)] = self._line(layer.path, layer, True, [])

    def _line(
        self, name: str, layer: Any, opened: bool, shapes: list[tuple[int, ...]]
    ) -> LayerProfile:
        parts = [layer] if opened else [layer, *inner_layers(layer)]
        weights = [pair for part in parts for pair in own_weights(part)]
        sizes = [
            (math.prod(weight.shape), trainable)
            for weight, trainable in weights
            if id(weight) not in self._seen
        ]
        self._seen.update(id(weight) for weight, _ in weights)
        return LayerProfile(
            name=name,
            kind=type(layer).__name__,
            trainable_params=sum(size for size, trainable in sizes if trainable),
            total_params=sum(size for size, _ in sizes),
            multiply_adds=0,
            calls=0,
            output_shape=shapes[0][1:] if shapes else (),
            activation_bytes=0,
            coverage=multiply_adds.coverage(layer, opened, bool(weights)),
        )


def _shape_error(model: Any, expected: str, received: Any) -> UsageError:
    return UsageError(
        f'input_shape of model "{model.name}" must be {expected}, for example (224, 224, 3), '
        f"received {received!r}."
    )


def _input_shapes(model: Any, input_shape: Any) -> list[tuple[int, ...]]:
    """The shape of each input without the batch axis, from the argument or from the model."""
    own = [tuple(x.shape[1:]) for x in getattr(model, "inputs", None) or []]
    if input_shape is None:
        if not own or any(side is None for shape in own for side in shape):
            size = f"no fixed input size, shape {', '.join(map(str, own))}" if own else "no inputs"
            raise UsageError(
                f'model "{model.name}" has {size}; give profile() an input_shape, for example '
                "input_shape=(224, 224, 3)."
            )
        return own
    try:
        given = [input_shape] if whole_number(input_shape[0], 0) is not None else list(input_shape)
        shapes = [tuple(whole_number(side) or 0 for side in shape) for shape in given]
    except (TypeError, IndexError, KeyError):
        raise _shape_error(
            model, "one shape, or a list of one for each input", input_shape
        ) from None
    for shape in shapes:
        if 0 in shape:
            raise _shape_error(model, "whole numbers above 0 without the batch axis", input_shape)
    if own and [len(shape) for shape in shapes] != [len(shape) for shape in own]:
        raise _shape_error(model, f"of the form {', '.join(map(str, own))}", input_shape)
    return shapes


def profile(
    model: keras.Model,
    input_shape: Sequence[Any] | None = None,
    dtype: str = "float32",
) -> Profile:
    """Counts a model: functional, Sequential, nested or subclassed; ours, Keras's or a user's.

    Args:
        model: a Keras model. One that is not built yet is built for `input_shape`.
        input_shape: (height, width, channels) of the image, or a list of shapes for several
            inputs. Needed if the model does not say it; also another size than the model's own.
        dtype: of the numbers in `activation_bytes`: "float32", "bfloat16", "float16", ...

    Raises:
        UsageError: not a Keras model, no fixed input size, or one that the model cannot take.
    """
    if not isinstance(model, keras.Model):
        raise UsageError(f"model must be a keras.Model, received {type(model).__name__}.")
    if dtype not in NUMBER_BYTES:
        known = ", ".join(f'"{name}"' for name in NUMBER_BYTES)
        raise UsageError(f"dtype must be one of {known}, received {dtype!r}.")
    shapes = _input_shapes(model, input_shape)
    own = getattr(model, "inputs", None) or []
    # One image, unless the model insists on a batch.
    images = own[0].shape[0] or 1 if own else 1
    dtypes = [x.dtype for x in own] or ["float32"] * len(shapes)
    inputs = [
        keras.KerasTensor((images, *shape), number)
        for shape, number in zip(shapes, dtypes, strict=True)
    ]
    tally = _Tally(images, NUMBER_BYTES[dtype])
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            x = inputs[[id(tensor) for tensor in own].index(id(layer.output))]
            tally.add(Call(layer.name, layer, (), {}, x, (), False))
    for call in layer_calls(model, inputs, multiply_adds.is_closed):
        tally.add(call)
    for layer in (model, *inner_layers(model)):
        tally.add_rest(layer)
    return Profile(tuple(tally.lines.values()))
