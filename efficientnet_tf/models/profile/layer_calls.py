"""Every call of a layer or operation when a Keras model runs, found by running it on shapes alone.

Functional and Sequential models are followed through their graphs, nested ones too. The call of a
subclassed model or layer is Python: Keras traces it, and the layers that it calls report. No
number is computed, and the model is as it was afterwards; only one that is not built yet is built.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from efficientnet_tf.errors import UsageError


@dataclass(frozen=True)
class Call:
    """One call; tensors are KerasTensors of full shape, batch included.

    Attributes:
        name: of the layer, `outer/inner` for one in another.
        operation: the layer, or the operation of a functional graph.
        args, kwargs, outputs: of the call.
        own_outputs: the outputs that no layer inside it has made.
        opened: whether the layers inside it have calls of their own in the list.
    """

    name: str
    operation: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    outputs: Any
    own_outputs: Sequence[Any]
    opened: bool


def inner_layers(operation: Any) -> list[Any]:
    """All layers inside a layer, however deep; Keras has no public list of them."""
    is_layer = isinstance(operation, keras.Layer)
    return operation._flatten_layers(include_self=False) if is_layer else []


def has_keras_call(operation: Any) -> bool:
    """Whether what it computes is written by Keras, not by a user."""
    written = type(operation).call.__module__.startswith("keras.")
    return written and not isinstance(operation, keras.layers.Lambda)


def tensors(structure: Any) -> list[Any]:
    """The KerasTensors of a structure."""
    return [x for x in keras.tree.flatten(structure) if isinstance(x, keras.KerasTensor)]


def _shapes(structure: Any) -> Any:
    """The structure with tensors of the backend as KerasTensors."""

    def shape(x: Any) -> Any:
        return keras.KerasTensor(tuple(x.shape), x.dtype) if keras.ops.is_tensor(x) else x

    return keras.tree.map_structure(shape, structure)


def _reason(error: Exception) -> str:
    """What Keras says, as one sentence, without the errors and arguments that it wraps it in."""
    text = re.sub(r"\x1b\[\d+m| with name 'None'", "", str(error))
    text = text.rpartition("Error encountered:")[2]
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith("Exception encountered")]
    return (said or [type(error).__name__])[0].rstrip(".") + "."


class _Whole(keras.Operation):
    """The `__call__` of a layer, casts and build included, as something to run on shapes."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._layer = layer

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return self._layer(*args, **kwargs)


def _run_whole(layer: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return keras.Operation.compute_output_spec(_Whole(layer), *args, **kwargs)


@contextlib.contextmanager
def _replaced(layers: Sequence[Any], replace: Callable[[Any], Callable]) -> Iterator[None]:
    """Inside, `layer.call` is `replace(layer)`."""
    before = [(vars(layer), vars(layer).get("call")) for layer in layers]
    for layer in layers:
        vars(layer)["call"] = replace(layer)  # setattr would track it as a part of the layer
    try:
        yield
    finally:
        for attributes, call in before:
            del attributes["call"]
            if call is not None:
                attributes["call"] = call


class _Walk:
    """Collects the calls of one run."""

    def __init__(self, is_closed: Callable[[Any], bool]) -> None:
        self.calls: list[Call] = []
        self.refusal: UsageError | None = None
        self._is_closed = is_closed

    def visit(
        self,
        name: str,
        operation: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        outputs: Any = None,
    ) -> Any:
        """Lists a call and those inside it; its outputs, computed unless they are given."""
        graph = has_keras_call(operation)
        if graph and isinstance(operation, keras.Sequential):
            outputs = args[0]
            for layer in operation.layers:
                outputs = self._visitor(name, layer)(outputs)
            return outputs
        if graph and isinstance(operation, keras.Function):
            inputs = args[0] if args else kwargs["inputs"]
            with self.refusing(name or operation.name, (args, kwargs)):
                return operation._run_through_graph(
                    inputs, operation_fn=lambda inner: self._visitor(name, inner)
                )
        if inner_layers(operation) and not self._is_closed(operation):
            return self._trace(name, operation, args, kwargs)
        name = name or operation.name
        if outputs is None:
            with self.refusing(name, (args, kwargs)):
                if args and isinstance(operation, keras.Layer):
                    operation._assert_input_compatibility(args[0])
                outputs = operation.compute_output_spec(*args, **kwargs)
                sides = [side for x in tensors(outputs) for side in x.shape]
                if graph and isinstance(operation, keras.Layer) and not all(sides):
                    # Keras 3.12 leaves the batch of EinsumDense open, and gives a convolution of
                    # too small a map the size zero, which the computation itself does not.
                    outputs = _run_whole(operation, args, kwargs)
        self.calls.append(Call(name, operation, args, kwargs, outputs, tensors(outputs), False))
        return outputs

    def _visitor(self, name: str, inner: Any) -> Callable[..., Any]:
        path = f"{name}/{inner.name}".lstrip("/")
        return lambda *args, **kwargs: self.visit(path, inner, args, kwargs)

    def _trace(self, name: str, layer: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Runs the Python code of a layer; layers that it calls itself are visited."""
        place = len(self.calls)
        known: list[Any] = []  # tensors that would not be new if the layer returned them
        own: list[Any] = []
        is_inside = False

        def reporting(inner: Any) -> Callable:
            call = inner.call

            def report(*args: Any, **kwargs: Any) -> Any:
                nonlocal is_inside
                if is_inside:  # another layer's visit will find this call
                    return call(*args, **kwargs)
                is_inside = True
                try:
                    outputs = call(*args, **kwargs)
                    known.extend(keras.tree.flatten(outputs))
                    path = f"{name}/{inner.name}".lstrip("/")
                    self.visit(path, inner, *_shapes((args, kwargs, outputs)))
                finally:
                    is_inside = False
                return outputs

            return report

        def noting(layer: Any) -> Callable:
            call = layer.call

            def note(*args: Any, **kwargs: Any) -> Any:
                outputs = call(*args, **kwargs)
                old = {id(x) for x in (*known, *keras.tree.flatten((args, kwargs)))}
                own.extend(x for x in keras.tree.flatten(outputs) if id(x) not in old)
                return outputs

            return note

        with (
            self.refusing(name or layer.name, (args, kwargs)),
            _replaced(inner_layers(layer), reporting),
            _replaced([layer], noting),
        ):
            outputs = _run_whole(layer, args, kwargs)
        call = Call(name or layer.name, layer, args, kwargs, outputs, tensors(_shapes(own)), True)
        self.calls.insert(place, call)  # before those inside it
        return outputs

    @contextlib.contextmanager
    def refusing(self, name: str, inputs: Any) -> Iterator[None]:
        """Makes the first error, whatever Keras wraps around it, one for the user."""
        try:
            yield
        except Exception as error:  # a layer may raise anything for a shape that it cannot take
            if self.refusal is None:
                shapes = ", ".join(str(tuple(x.shape)) for x in tensors(inputs))
                self.refusal = UsageError(
                    f'"{name}" cannot take an input of shape {shapes}: {_reason(error)} Give an '
                    "input_shape that fits the model."
                )
                self.refusal.__cause__ = error
            raise self.refusal from self.refusal.__cause__


def layer_calls(model: Any, inputs: Sequence[Any], is_closed: Callable[[Any], bool]) -> list[Call]:
    """All calls of a run in order, a layer before those inside it.

    Args:
        model: any Keras model.
        inputs: a KerasTensor for each input, all sides known.
        is_closed: whether the layers inside a layer are left out.

    Raises:
        UsageError: the model cannot take inputs of these shapes.
    """
    walk = _Walk(is_closed)
    args = [inputs[0] if len(inputs) == 1 else list(inputs)]
    if not all(layer.built for layer in (model, *inner_layers(model))):
        with walk.refusing(model.name, args):
            _run_whole(model, args, {})
    walk.visit("", model, args, {})
    return walk.calls
