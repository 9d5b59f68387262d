"""Every call of a layer or operation when a Keras model runs, found by running it on shapes alone.

No number is computed and no object of the model is touched, but that a model without weights is
built. There are two ways in:

- A graph (functional and Sequential models, nested ones too) is followed node by node, at any size,
  with `keras.models.clone_model`: its `call_function` is handed every call of the graph. The clone
  calls stand-ins for the operations, so that the operations themselves record nothing.
- The Python code of a subclassed model or layer can call what it likes. Keras runs it on shapes
  (`compute_output_spec`), and Python itself reports the calls of layers in it: python_calls.py.

Keras has no public list of the layers inside a layer: parts.py has what is private.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.profile.parts import inner_layers
from efficientnet_tf.models.profile.python_calls import watching


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
    """The `__call__` of a layer, casts, checks and build included, to be run on shapes."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._layer = layer

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return self._layer(*args, **kwargs)


def _run_whole(layer: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return _Whole(layer).compute_output_spec(*args, **kwargs)


class _StandIn(keras.Operation):
    """Has a place in a graph, and the outputs that `visit` gives its inputs."""

    def __init__(self, visit: Callable[..., Any]) -> None:
        super().__init__()
        self._visit = visit

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return self._visit(*args, **kwargs)


def _is_fit(layer: Any, inputs: Any) -> bool:
    """Whether inputs are as `input_spec` says, which only `__call__` would check."""
    for spec, x in zip(keras.tree.flatten(layer.input_spec), tensors(inputs), strict=False):
        if spec is None:
            continue
        rank = len(x.shape)
        if rank < (spec.min_ndim or 0) or rank != (spec.ndim or rank):
            return False
        sides = {**dict(enumerate(spec.shape or ())), **spec.axes}
        if any(side not in (None, x.shape[axis]) for axis, side in sides.items()):
            return False
    return True


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
        written = has_keras_call(operation)
        if written and isinstance(operation, keras.Sequential):
            outputs = args[0]
            for layer in operation.layers:
                outputs = self._visitor(name, layer)(outputs)
            return outputs
        if written and isinstance(operation, keras.Function):
            inputs = args[0] if args else kwargs["inputs"]
            with self.refusing(name or operation.name, (args, kwargs)):
                return self._follow(name, operation, keras.tree.flatten(inputs))
        if inner_layers(operation) and not self._is_closed(operation):
            return self._trace(name, operation, args, kwargs)
        name = name or operation.name
        if outputs is None:
            with self.refusing(name, (args, kwargs)):
                outputs = operation.compute_output_spec(*args, **kwargs)
                if isinstance(operation, keras.Layer):
                    sides = [side for x in tensors(outputs) for side in x.shape]
                    # Keras 3.12 leaves the batch of EinsumDense open, and gives a convolution of
                    # too small a map the size zero, which the computation itself does not.
                    if (written and not all(sides)) or not _is_fit(operation, args[:1]):
                        outputs = _run_whole(operation, args, kwargs)
        self.calls.append(Call(name, operation, args, kwargs, outputs, tensors(outputs), False))
        return outputs

    def _visitor(self, name: str, inner: Any) -> Callable[..., Any]:
        path = f"{name}/{inner.name}".lstrip("/")
        return lambda *args, **kwargs: self.visit(path, inner, args, kwargs)

    def _follow(self, name: str, graph: Any, inputs: Sequence[Any]) -> Any:
        """Visits the operations of a graph; its outputs, one or a flat list."""

        def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
            return _StandIn(self._visitor(name, operation)).symbolic_call(*args, **kwargs)

        # Names of their own, so that those that Keras gives afterwards do not depend on a count.
        model = keras.Model(graph.inputs, graph.outputs, name=graph.name)
        fresh = [
            keras.Input(batch_shape=x.shape, dtype=x.dtype, name=f"input_{place}")
            for place, x in enumerate(inputs)
        ]
        clone = keras.models.clone_model(
            model, fresh, clone_function=lambda operation: operation, call_function=call
        )
        return clone.outputs if len(clone.outputs) > 1 else clone.outputs[0]

    def _trace(self, name: str, layer: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Runs the Python code of a layer; layers that it calls itself are visited."""
        inside: list[tuple[Any, Any]] = []  # each with what went in and what came out
        own: list[Any] = []

        def report(depth: int, called: Mapping[str, Any], outputs: Any) -> None:
            given = (called["args"], called["kwargs"])
            if depth == 1:
                inside.append((called["self"], (*given, outputs)))
            elif depth == 0:
                old = {id(x) for x in keras.tree.flatten((given, [made[2] for _, made in inside]))}
                own.extend(x for x in keras.tree.flatten(outputs) if id(x) not in old)

        with self.refusing(name or layer.name, (args, kwargs)), watching(report):
            outputs = _run_whole(layer, args, kwargs)
        own_outputs = tensors(_shapes(own))
        self.calls.append(Call(name or layer.name, layer, args, kwargs, outputs, own_outputs, True))
        for inner, made in inside:
            path = f"{name}/{inner.name}".lstrip("/")
            self.visit(path, inner, *_shapes(made))
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
