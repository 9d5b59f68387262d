"""The rule of each kind of layer against arithmetic done by hand, and what has no rule."""

import keras
import pytest
from keras import layers, ops

from efficientnet_tf.models.layers import SqueezeExcitation
from efficientnet_tf.models.profile.measure import Profile, profile


def on(layer: layers.Layer, *shape: int) -> Profile:
    """A model of this layer alone."""
    image = keras.Input(shape)
    return profile(keras.Model(image, layer(image)))


# (layer, input shape, multiply-adds: kernel * positions)
BY_HAND = [
    (layers.Conv1D(5, 3), (10, 4), (3 * 4 * 5) * 8),
    (layers.Conv2D(5, 3, strides=2, padding="same"), (8, 6, 4), (9 * 4 * 5) * (4 * 3)),
    (layers.Conv2D(5, 3, dilation_rate=2), (8, 6, 4), (9 * 4 * 5) * (4 * 2)),
    (layers.Conv2D(6, 3, groups=2), (8, 6, 4), (9 * 2 * 6) * (6 * 4)),
    (layers.Conv2D(5, 1, data_format="channels_first"), (4, 8, 6), (4 * 5) * (8 * 6)),
    (layers.Conv2D(5, 3, activation=layers.PReLU()), (8, 6, 4), (9 * 4 * 5) * (6 * 4)),
    (layers.Conv3D(5, 2), (4, 5, 6, 3), (8 * 3 * 5) * (3 * 4 * 5)),
    (layers.DepthwiseConv1D(3, depth_multiplier=2), (10, 4), (3 * 4 * 2) * 8),
    (layers.DepthwiseConv2D(5, padding="same"), (8, 6, 4), (25 * 4) * (8 * 6)),
    (layers.DepthwiseConv2D(3, depth_multiplier=2), (8, 6, 4), (9 * 4 * 2) * (6 * 4)),
    (layers.SeparableConv1D(5, 3), (10, 4), (3 * 4 + 4 * 5) * 8),
    (
        layers.SeparableConv2D(5, 3, strides=2, padding="same", depth_multiplier=2),
        (8, 6, 4),
        (9 * 4 * 2 + 8 * 5) * (4 * 3),
    ),
    (layers.Conv1DTranspose(5, 3, strides=2), (10, 4), (3 * 4 * 5) * 10),
    (layers.Conv2DTranspose(5, 3, strides=2), (8, 6, 4), (9 * 4 * 5) * (8 * 6)),
    (layers.Conv3DTranspose(5, 2), (4, 5, 6, 3), (8 * 3 * 5) * (4 * 5 * 6)),
    (layers.Dense(5), (7,), 7 * 5),
    (layers.Dense(5), (8, 6, 7), (7 * 5) * (8 * 6)),
    (layers.EinsumDense("ab,bc->ac", 5), (7,), 7 * 5),
    (layers.EinsumDense("...x,xy->...y", 5), (6, 7), (7 * 5) * 6),
    (layers.EinsumDense("abc,cde->abde", (6, 2, 3)), (6, 7), (7 * 2 * 3) * 6),
    (layers.EinsumDense("abcd,cde->abe", (6, 5)), (6, 2, 3), (2 * 3 * 5) * 6),
    (SqueezeExcitation(3), (8, 6, 12), 2 * 12 * 3),
]


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [pytest.param(*case, id=f"{type(case[0]).__name__}-{i}") for i, case in enumerate(BY_HAND)],
)
def test_a_layer_costs_what_its_kernel_and_positions_say(layer, shape, expected):
    found = on(layer, *shape)
    assert found.multiply_adds == expected
    assert found.uncounted == found.opaque == ()
    assert found.total_params == layer.count_params()


def test_attention_is_its_projections_and_two_products():
    # 2 heads, keys of 3, values of 5 numbers; 4 queries, 6 values, of 8 numbers each.
    query, value = keras.Input((4, 8)), keras.Input((6, 8))
    attention = layers.MultiHeadAttention(2, 3, value_dim=5)
    projections = 4 * 8 * 6 + 6 * 8 * 6 + 6 * 8 * 10 + 4 * 10 * 8
    products = 4 * 6 * 2 * 3 + 4 * 6 * 2 * 5
    for output in (attention(query, value), attention(query=query, value=value)):
        found = profile(keras.Model([query, value], output))
        assert found.multiply_adds == projections + products
        assert found.uncounted == ()
        assert found.total_params == attention.count_params()
        assert {line.name: line.multiply_adds for line in found.layers}[attention.name] == products


def test_attention_along_one_axis():
    rows = keras.Input((3, 4, 8))
    attention = layers.MultiHeadAttention(2, 3, attention_axes=(2,))
    found = profile(keras.Model(rows, attention(rows, rows)))
    assert found.multiply_adds == 3 * (4 * (4 * 8 * 6) + 2 * (4 * 4 * 2 * 3))


def test_a_matrix_product_without_weights():
    left, right = keras.Input((3, 4)), keras.Input((4, 5))
    assert profile(keras.Model([left, right], ops.matmul(left, right))).multiply_adds == 3 * 4 * 5


class Scale(layers.Layer):
    """A user's layer whose product with a weight no rule can know."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1], 2))

    def call(self, inputs):
        return ops.matmul(inputs, self.scale)


class Gram(layers.Layer):
    """A product without weights in a user's code."""

    def call(self, inputs):
        return ops.matmul(inputs, ops.transpose(inputs, (0, 2, 1)))


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (layers.LSTM(3), "LSTM"),
        (layers.TimeDistributed(layers.Dense(2)), "TimeDistributed"),
        (layers.GroupQueryAttention(2, 2, 1), "GroupedQueryAttention"),
        (Scale(), "Scale"),
    ],
)
def test_what_has_no_rule_is_named(layer, kind):
    sequence = keras.Input((5, 4))
    is_attention = isinstance(layer, layers.GroupQueryAttention)
    output = layer(sequence, sequence) if is_attention else layer(sequence)
    found = profile(keras.Model(sequence, layers.Dense(2)(output)))
    assert found.uncounted == (kind,)
    assert found.total_params == layer.count_params() + 2 * (output.shape[-1] + 1)


@pytest.mark.parametrize(
    ("product", "kind"),
    [
        (lambda a, b: layers.Dot(axes=2)([a, b]), "Dot"),
        (lambda a, b: layers.Attention()([a, b]), "Attention"),
        (lambda a, b: ops.einsum("nij,nkj->nik", a, b), "Einsum"),
        (lambda a, b: ops.tensordot(a, b, axes=1), "Tensordot"),
    ],
)
def test_products_without_weights_and_rule_are_named_too(product, kind):
    a, b = keras.Input((4, 4)), keras.Input((4, 4))
    assert profile(keras.Model([a, b], product(a, b))).uncounted == (kind,)


@pytest.mark.parametrize("layer", [Gram(), layers.Lambda(lambda x: x @ x)])
def test_code_of_its_own_is_named(layer):
    found = on(layer, 4, 4)
    assert found.opaque == (type(layer).__name__,)
    assert found.uncounted == ()


@pytest.mark.parametrize(
    "layer",
    [
        layers.BatchNormalization(),
        layers.LayerNormalization(),
        layers.GroupNormalization(2),
        layers.PReLU(),
        layers.Embedding(7, 3),
        layers.Dropout(0.5),
    ],
)
def test_layers_without_products_cost_nothing(layer):
    found = on(layer, 6, 4)
    assert (found.multiply_adds, found.uncounted, found.opaque) == (0, (), ())
    assert found.total_params == layer.count_params()
