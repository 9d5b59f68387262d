"""Shared by the importers' tests: skeletons of models, real names, timm if it is installed."""

import json
import lzma
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from efficientnet_tf.models.architecture import architecture_of
from efficientnet_tf.models.variants import VARIANTS

GOLDEN = Path(__file__).parents[1] / "golden" / "importers"


@pytest.fixture(scope="session")
def real_names():
    """{library: {model: {name: shape}}}, written down from the real libraries."""
    return json.loads(lzma.decompress((GOLDEN / "names.json.xz").read_bytes()))


def skeleton(name, classes=1000):
    """The paths and shapes of a network's variables without the network: L2 has 480 million."""
    weights = []

    def add(path, shape):
        weights.append(SimpleNamespace(path=path, shape=tuple(shape)))

    for one in architecture_of(VARIANTS[name]).operations(classes):
        if "/" in one.name:  # block1a_se/reduce
            add(f"{one.name}_kernel", (1, 1, *one.kernel_shape))
            add(f"{one.name}_bias", one.kernel_shape[1:])
            continue
        add(f"{one.name}/kernel", one.kernel_shape)
        if one.name == "predictions":
            add(f"{one.name}/bias", one.kernel_shape[1:])
            continue
        norm = one.name.replace("dwconv", "bn").replace("conv", "bn")
        for weight in ("gamma", "beta", "moving_mean", "moving_variance"):
            add(f"{norm}/{weight}", (one.filters,))
    return SimpleNamespace(name=name, weights=weights)


@pytest.fixture(scope="session")
def make_skeleton():
    return skeleton


@pytest.fixture(scope="session")
def timm():
    """The real timm, or a skip: it is an extra, and these tests have recorded values besides."""
    torch = pytest.importorskip("torch", reason="torch is not installed (extra test-importers)")
    try:
        # torchvision's own operators need the torch it was built with; timm's networks use none.
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")
    except RuntimeError:
        pass
    return pytest.importorskip("timm", reason="timm is not installed (extra test-importers)")


def pictures(count, size, seed):
    """[count, size, size, 3], 0..255: patches of colours, which differ in more than noise."""
    random = np.random.default_rng(seed)
    patches = random.uniform(0, 255, (count, size // 16, size // 16, 3))
    patches = patches.repeat(16, 1).repeat(16, 2)
    return np.clip(patches + random.normal(0, 20, patches.shape), 0, 255).astype(np.float32)


@pytest.fixture(scope="session")
def make_pictures():
    return pictures


@pytest.fixture(scope="session")
def randomise():
    """Fills a Keras model with random weights, and statistics of batch norm that fit them."""

    def fill(model, size, count=32, seed=0):
        random = np.random.default_rng(seed)
        norms = [layer for layer in model.layers if hasattr(layer, "moving_mean")]
        for weight in model.weights:
            shape, path = weight.shape, weight.path
            if path.startswith("normalization"):  # of pixels in 0..1; count is none
                low, high = {"mean": (0.4, 0.5), "variance": (0.04, 0.06)}.get(weight.name, (0, 1))
                weight.assign(random.uniform(low, high, shape))
            elif path.endswith(("gamma", "variance")):
                weight.assign(random.uniform(0.8, 1.2, shape))
            elif path.endswith(("beta", "bias", "mean")):
                weight.assign(random.normal(0, 0.1, shape))
        for layer in model.layers:
            if hasattr(layer, "finalize_state"):
                layer.finalize_state()  # or Normalization keeps the old numbers
        # Statistics of real signals: with others these would fade or explode from layer to layer,
        # and the logits depend on nothing but the last digits.
        for layer in norms:
            layer.momentum = 0.0
        images = pictures(count, size, seed)
        model(images, training=True)
        for layer in norms:
            layer.momentum = 0.99
            variance = layer.moving_variance.numpy()
            variance = np.maximum(variance, 0.3 * variance.mean())
            layer.moving_variance.assign(variance * random.uniform(0.8, 1.2, variance.shape))
        head = model.get_layer("predictions").kernel
        head.assign(head.numpy() / np.asarray(model(images)).std())
        return model

    return fill


@pytest.fixture(scope="session")
def assert_same():
    """Logits of two models agree to 1e-4, on images that they tell apart clearly."""

    def check(found, want):
        found, want = np.asarray(found), np.asarray(want)
        assert np.abs(want[0] - want[1]).max() > 0.1  # a thousand times the tolerance
        assert np.abs(found - want).max() < 1e-4

    return check
