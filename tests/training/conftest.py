"""Networks without kinks."""

import pytest
from keras import ops

from efficientnet_tf.models import layers


@pytest.fixture
def smooth_activations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for relu and relu6: rounding moves values over a kink, to another gradient."""
    monkeypatch.setitem(layers.ACTIVATIONS, "relu", ops.softplus)
    monkeypatch.setitem(layers.ACTIVATIONS, "relu6", lambda x: 6.0 * ops.sigmoid(x - 3.0))
