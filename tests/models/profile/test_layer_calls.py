"""Which calls a run of a model consists of: graphs, nested models, Python code; nothing changed."""

import cProfile
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.profile.layer_calls import layer_calls


def calls(model, *shapes, is_closed=lambda layer: False):
    return layer_calls(model, [keras.KerasTensor((1, *shape)) for shape in shapes], is_closed)


def names(model, *shapes):
    return [call.name for call in calls(model, *shapes)]


class Block(layers.Layer):
    """Residual: conv and ReLU inside, and a bare addition."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.conv = layers.Conv2D(4, 3, padding="same", name="conv", dtype=policy)
        self.steps = [layers.ReLU(name="relu", dtype=policy)]

    def call(self, inputs):
        return inputs + self.steps[0](self.conv(inputs))


class Net(keras.Model):
    """Subclassed, with a block in it and a call to a layer of the block."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.block = Block(name="block")
        self.dense = layers.Dense(2, name="dense")

    def call(self, inputs, training=False):
        x = self.block(inputs)
        x = self.block.conv(x)
        return self.dense(ops.mean(x, axis=(1, 2)), training=training)


def test_a_functional_graph_in_order_with_its_operations():
    image = keras.Input((8, 6, 3))
    x = layers.Conv2D(4, 3, name="conv")(image)
    x = ops.multiply(x, 2.0)
    found = calls(keras.Model(image, layers.Flatten(name="flat")(x)), (8, 6, 3))
    assert [type(call.operation).__name__ for call in found] == ["Conv2D", "Multiply", "Flatten"]
    assert [call.outputs.shape for call in found] == [(1, 6, 4, 4), (1, 6, 4, 4), (1, 96)]


def test_a_shared_layer_is_listed_once_per_call_at_the_size_of_that_call():
    image = keras.Input((8, 8, 3))
    conv = layers.Conv2D(3, 3, padding="same", name="conv")
    model = keras.Model(image, conv(layers.AveragePooling2D(2, name="pool")(conv(image))))
    found = calls(model, (8, 8, 3))
    assert [(call.name, call.outputs.shape[1]) for call in found] == [
        ("conv", 8),
        ("pool", 4),
        ("conv", 4),
    ]


def test_nested_models_are_followed_at_the_size_they_are_called_with():
    inner = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(3, 3, name="conv")])
    deeper = keras.Input((None, None, 3))
    middle = keras.Model(deeper, inner(deeper), name="middle")
    image = keras.Input((10, 10, 3))
    model = keras.Model(image, middle(middle(image)))
    found = calls(model, (10, 10, 3))
    assert [call.name for call in found] == [f"middle/{inner.name}/conv"] * 2
    assert [call.outputs.shape for call in found] == [(1, 8, 8, 3), (1, 6, 6, 3)]


def test_several_inputs_in_a_dictionary():
    wide, deep = keras.Input((3,), name="wide"), keras.Input((5,), name="deep")
    both = layers.Concatenate(name="both")([layers.Dense(2, name="dense")(deep), wide])
    model = keras.Model({"wide": wide, "deep": deep}, both)
    shapes = [tuple(x.shape[1:]) for x in model.inputs]
    assert calls(model, *shapes)[-1].outputs.shape == (1, 5)


def test_python_code_is_traced():
    net = Net(name="net")
    net(np.zeros((2, 8, 8, 4), "float32"))
    expected = ["net", "block", "block/conv", "block/relu", "conv", "dense"]
    assert names(net, (8, 8, 4)) == expected
    found = {call.name: call for call in calls(net, (8, 8, 4))}
    assert [name for name in found if found[name].opened] == ["net", "block"]
    assert found["dense"].args[0].shape == (1, 4)
    # The block makes a tensor of its own, by an addition; the net hands on the classifier's.
    assert [x.shape for x in found["block"].own_outputs] == [(1, 8, 8, 4)]
    assert list(found["net"].own_outputs) == []


def test_a_closed_layer_keeps_its_layers_to_itself():
    net = Net()
    net(np.zeros((1, 8, 8, 4), "float32"))
    image = keras.Input((8, 8, 4))
    found = calls(
        keras.Model(image, net.block(image)),
        (8, 8, 4),
        is_closed=lambda layer: isinstance(layer, Block),
    )
    assert [(call.name, call.opened) for call in found] == [("block", False)]


def test_custom_layers_inside_functional_models_inside_python_code():
    class Outer(keras.Model):
        def __init__(self):
            super().__init__(name="outer")
            image = keras.Input((None, None, 4))
            self.body = keras.Model(image, Block(name="block")(image), name="body")

        def call(self, inputs):
            return self.body(inputs)

    outer = Outer()
    outer(np.zeros((1, 8, 8, 4), "float32"))
    assert names(outer, (6, 6, 4)) == ["outer", "body/block", "body/block/conv", "body/block/relu"]


def test_the_model_is_as_it_was():
    net = Net()
    image = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype("float32")
    before = np.array(net(image))
    nodes = len(net.block.conv._inbound_nodes)
    calls(net, (8, 8, 4))
    with pytest.raises(UsageError):
        calls(net, (8, 8, 5))
    for layer in (net, *net._flatten_layers()):
        assert "call" not in vars(layer)
    assert len(net.block.conv._inbound_nodes) == nodes
    np.testing.assert_array_equal(np.array(net(image)), before)


def test_a_graph_is_as_it_was_and_no_name_is_used_up():
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Conv2D(4, 3)(image))
    model.compile(optimizer="sgd", loss=lambda truth, answer: answer)  # which no clone could read
    nodes = [len(operation._inbound_nodes) for operation in model.operations]
    before = int(keras.Model(image, image).name.rpartition("_")[2])
    calls(model, (12, 12, 3))
    assert int(keras.Model(image, image).name.rpartition("_")[2]) == before + 1
    assert [len(operation._inbound_nodes) for operation in model.operations] == nodes


def test_a_function_in_a_graph_is_followed():
    inner = keras.Input((4,))
    function = keras.Function(inner, layers.Dense(3, name="dense")(inner), name="function")
    image = keras.Input((4,))
    model = keras.Model(image, layers.ReLU(name="relu")(function(image)))
    assert names(model, (4,)) == ["function/dense", "relu"]


def test_who_watches_python_already_goes_on_watching():
    net, seen = Net(name="net"), []

    def hook(frame, event, result):
        seen.append(frame.f_code)

    sys.setprofile(hook)
    try:
        calls(net, (8, 8, 4))
        assert sys.getprofile() is hook
        seen.clear()
        calls(net, (8, 8, 4))
    finally:
        sys.setprofile(None)
    assert calls.__code__ in seen
    with cProfile.Profile() as profiler:
        calls(net, (8, 8, 4))
        hook(sys._getframe(), "call", None)
    assert hook.__code__ in {entry.code for entry in profiler.getstats()}


def test_a_layer_that_nothing_tracks_is_found_where_it_is_called():
    apart = [layers.Dense(3, name="apart")]
    apart[0].build((None, 2))

    class Borrowing(keras.Model):
        def __init__(self):
            super().__init__(name="net")
            self.own = layers.Dense(2, name="own")

        def call(self, inputs):
            return apart[0](self.own(inputs))

    assert names(Borrowing(), (4,)) == ["net", "own", "apart"]


def test_a_model_without_weights_yet_is_built_and_takes_any_batch_afterwards():
    net = Net()
    assert not net.built
    assert len(calls(net, (8, 8, 4))) == 6  # and not twice, for the building
    assert net.dense.kernel.shape == (4, 2)
    assert net(np.zeros((3, 8, 8, 4), "float32")).shape == (3, 2)
    sequence = keras.Sequential([layers.Dense(2, name="dense"), layers.ReLU(name="relu")])
    assert names(sequence, (5,)) == ["dense", "relu"]
    assert sequence(np.zeros((3, 5), "float32")).shape == (3, 2)


def test_mixed_precision():
    block = Block(dtype="mixed_bfloat16")
    block(np.zeros((1, 8, 8, 4), "float32"))
    image = keras.Input((8, 8, 4))
    found = calls(keras.Model(image, block(image)), (8, 8, 4))
    assert found[0].outputs.dtype == "bfloat16"


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (
            lambda image: layers.Dense(2, name="dense")(layers.Flatten()(image)),
            (9, 8, 4),
            '"dense" cannot take an input of shape (1, 288): Input 0 of layer "dense" is '
            "incompatible with the layer: expected axis -1 of input shape to have value 256, but "
            "received input with shape (1, 288). Give an input_shape that fits the model.",
        ),
        (
            lambda image: layers.Conv2D(2, 5, name="conv")(image),
            (4, 4, 4),
            '"conv" cannot take an input of shape (1, 4, 4, 4): ',
        ),
        (
            lambda image: Block(name="block")(image),
            (8, 8, 3),
            '"block" cannot take an input of shape (1, 8, 8, 3): Input 0 of layer "conv" is ',
        ),
    ],
)
def test_a_shape_that_does_not_fit(make, shape, message):
    image = keras.Input((8, 8, 4))
    with pytest.raises(UsageError) as error:
        calls(keras.Model(image, make(image)), shape)
    assert str(error.value).replace("'", '"').startswith(message)  # Keras 3.12 writes "dense"
    assert str(error.value).endswith(". Give an input_shape that fits the model.")
    assert "\n" not in str(error.value)
    assert error.value.__cause__ is not None
