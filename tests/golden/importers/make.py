"""Makes the files beside it with the real other libraries: timm 1.0.31, PyTorch 2.13, Keras 3.15.

Run from the repository, where all of them and this package's requirements are installed:
    python tests/golden/importers/make.py

names.json.xz         {library: {model: {name of a weight: shape}}}, all models of ours they have
timm_tiny_X.safetensors  a narrow tf_efficientnet of each kind (b0; lite0 and es in float16 and
                      bfloat16), random weights and random statistics of batch norm
timm_tiny.npz         images [2, 64, 64, 3] on 0..255 (uint8) and timm's logits "X" of them, each
                      normalised with the mean and std of timm's own configuration
"""

import json
import lzma
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

HERE = Path(__file__).parent


def load_timm():
    for name in ("nms", "qnms"):  # torchvision's own operators need torch's CUDA build
        try:
            torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")
        except RuntimeError:
            break
    import timm

    return timm


def timm_names(timm):
    sizes = [f"b{i}" for i in range(9)] + ["l2", "es", "em", "el"] + [f"lite{i}" for i in range(5)]
    found = {}
    for size in sizes:
        with torch.device("meta"):
            model = timm.create_model(f"tf_efficientnet_{size}")
        found[f"tf_efficientnet_{size}"] = {k: list(v.shape) for k, v in model.state_dict().items()}
    return found


def keras_names():
    import keras

    found = {}
    for index in range(8):
        keras.utils.clear_session()
        model = getattr(keras.applications, f"EfficientNetB{index}")(weights=None)
        found[f"EfficientNetB{index}"] = {w.path: list(w.shape) for w in model.weights}
    return found


def pictures(count, size, seed):
    """[count, size, size, 3] uint8: patches of colours, which differ in more than noise."""
    random = np.random.default_rng(seed)
    patches = random.uniform(0, 255, (count, 4, 4, 3)).repeat(size // 4, 1).repeat(size // 4, 2)
    return np.clip(patches + random.normal(0, 20, patches.shape), 0, 255).astype(np.uint8)


def randomise(model, inputs, seed):
    """Statistics of batch norm that fit the weights, or the logits depend on the last digits."""
    random = torch.Generator().manual_seed(seed)

    def around_one(shape):
        return 0.8 + 0.4 * torch.rand(shape, generator=random)

    norms = [layer for layer in model.modules() if hasattr(layer, "running_var")]
    for layer in norms:
        layer.weight.data.copy_(around_one(layer.weight.shape))
        layer.bias.data.copy_(0.1 * torch.randn(layer.bias.shape, generator=random))
        layer.momentum = 1.0
    with torch.no_grad():
        model.train()(inputs)
        for layer in norms:
            variance = layer.running_var
            variance.clamp_(min=float(0.3 * variance.mean())).mul_(around_one(variance.shape))
        model.classifier.weight.data.div_(model.eval()(inputs).std())


def tiny_models(timm):
    from timm.models import efficientnet as lib

    common = {"num_classes": 10, "bn_eps": lib.BN_EPS_TF_DEFAULT, "pad_type": "same"}
    torch.manual_seed(0)
    yield "b0", torch.float32, lib._gen_efficientnet("tf_efficientnet_b0", 0.1, 0.3, **common)
    yield "lite0", torch.float16, lib._gen_efficientnet_lite("tf_efficientnet_lite0", 0.1, 0.3, **common)
    yield "es", torch.bfloat16, lib._gen_efficientnet_edge("tf_efficientnet_es", 0.25, 0.4, **common)


def main():
    timm = load_timm()
    names = {"timm": timm_names(timm), "keras": keras_names()}
    (HERE / "names.json.xz").write_bytes(lzma.compress(json.dumps(names).encode(), preset=9))
    images = pictures(32, 64, seed=7)
    arrays = {"images": images[:2]}
    for seed, (name, dtype, model) in enumerate(tiny_models(timm)):
        mean, std = (255 * np.array(model.pretrained_cfg[key]) for key in ("mean", "std"))
        inputs = torch.from_numpy(((images - mean) / std).astype(np.float32).transpose(0, 3, 1, 2))
        randomise(model, inputs, seed)
        model.to(dtype)
        safetensors.torch.save_file(model.state_dict(), HERE / f"timm_tiny_{name}.safetensors")
        model.to(torch.float32).eval()
        with torch.no_grad():
            arrays[name] = model(inputs[:2]).numpy()
        difference = np.abs(arrays[name][0] - arrays[name][1]).max()
        print(name, model.pretrained_cfg["mean"], arrays[name].std(), difference)
    np.savez_compressed(HERE / "timm_tiny.npz", **arrays)


if __name__ == "__main__":
    main()
