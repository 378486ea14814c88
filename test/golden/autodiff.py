"""Writes test/golden/autodiff/*.onnx and *.json: tiny random models, exported by both exporters of PyTorch,
with an input, a cotangent for every output, the outputs and the gradient of torch.autograd.

Further architectures are in autodiff_*.py beside this file, which share `main`.
Made with torch 2.13, transformers 5.23, diffusers 0.42, onnx, onnxscript. Run: python test/golden/autodiff.py [NAME ...]
"""

import base64
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

OUT = Path(__file__).parent / "autodiff"
warnings.filterwarnings("ignore")


class Wrap(nn.Module):
    """Positional tensors in, tuple of named outputs out. `opset` is that of the TorchScript export.

    `modern`: exported once more by dynamo for opset 23, which has operators for attention and group normalisation.
    """

    def __init__(self, model, call, opset=14, modern=False):
        super().__init__()
        self.model = model
        self.call = call
        self.exports = {"torchscript": opset, "dynamo": None, **({"dynamo-23": 23} if modern else {})}

    def forward(self, x):
        return self.call(self.model, x)


def trained(model):
    """Batch norms with statistics as after training: fresh ones are almost the identity."""
    for module in model.modules():
        if hasattr(module, "running_var"):
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return model


def clip_vision():
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=32,
                              patch_size=8, projection_dim=16)
    return Wrap(CLIPVisionModelWithProjection(config), lambda m, x: (m(pixel_values=x).image_embeds,)), (2, 3, 32, 32), ["image_embeds"]


def vit_gelu():
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8, num_labels=10)
    return Wrap(ViTForImageClassification(config), lambda m, x: (m(pixel_values=x).logits,), modern=True), (2, 3, 32, 32), ["logits"]


def yolos():
    from transformers import YolosConfig, YolosForObjectDetection

    config = YolosConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=[32, 32],
                         patch_size=8, num_detection_tokens=5, num_labels=7)

    def call(m, x):
        out = m(pixel_values=x)
        return out.logits, out.pred_boxes

    return Wrap(YolosForObjectDetection(config), call), (1, 3, 32, 32), ["logits", "pred_boxes"]


class Bottleneck(nn.Module):
    def __init__(self, channels, stride):
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(channels, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.b = nn.Sequential(nn.Conv2d(8, 8, 3, stride, 1, groups=2, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.c = nn.Sequential(nn.Conv2d(8, 2 * channels, 1, bias=False), nn.BatchNorm2d(2 * channels))
        self.skip = nn.Sequential(nn.Conv2d(channels, 2 * channels, 1, stride, bias=False), nn.BatchNorm2d(2 * channels))

    def forward(self, x):
        return torch.relu(self.c(self.b(self.a(x))) + self.skip(x))


def resnet():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1), Bottleneck(8, 1), Bottleneck(16, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    return Wrap(trained(model), lambda m, x: (m(x),)), (2, 3, 32, 32), ["logits"]


class Blocks(nn.Module):
    """GroupNorm, SiLU, Resize (nearest, bilinear, antialiased), ConvTranspose, asymmetric padding, average pooling, attention by einsum."""

    def __init__(self):
        super().__init__()
        self.conv_in = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.GroupNorm(4, 8)
        self.down = nn.Conv2d(8, 12, 3, stride=2)
        self.norm2 = nn.GroupNorm(3, 12, eps=1e-3)
        self.up = nn.ConvTranspose2d(12, 8, 4, stride=2, padding=1)
        self.out = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x):
        f = nn.functional
        h = f.silu(self.norm(self.conv_in(f.interpolate(x, size=(14, 18), mode="bilinear", align_corners=False))))
        h = self.down(f.pad(h, (0, 1, 0, 1)))
        h = f.silu(self.norm2(h))
        q = h.flatten(2)
        a = torch.softmax(torch.einsum("bci,bcj->bij", q, q) * 12**-0.5, -1)
        h = h + torch.einsum("bij,bcj->bci", a, q).reshape(h.shape)
        h = f.gelu(self.up(h), approximate="tanh")
        h = f.interpolate(h, scale_factor=2.0, mode="nearest")
        h = f.avg_pool2d(h, 3, 2, 1)
        return (self.out(h),)


def blocks():
    return Wrap(Blocks(), lambda m, x: m(x)), (2, 3, 12, 16), ["out"]


def autoencoder_tiny():
    from diffusers import AutoencoderTiny

    model = AutoencoderTiny(encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), num_encoder_blocks=(1, 2),
                            num_decoder_blocks=(2, 1), latent_channels=4)
    return Wrap(model, lambda m, x: (m.decode(m.encode(x).latents).sample,)), (1, 3, 16, 16), ["sample"]


def unet():
    from diffusers import UNet2DConditionModel

    model = UNet2DConditionModel(sample_size=8, in_channels=9, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
                                 down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
                                 norm_num_groups=4, cross_attention_dim=8, attention_head_dim=4)
    text = torch.randn(1, 5, 8)
    return Wrap(model, lambda m, x: (m(x, torch.tensor([37]), text).sample,), modern=True), (1, 9, 8, 8), ["sample"]


MODELS = {f.__name__: f for f in [clip_vision, vit_gelu, yolos, resnet, blocks, autoencoder_tiny, unet]}


def export(model, x, outputs, path, dynamo, opset):
    options = {"input_names": ["x"], "output_names": outputs, "opset_version": opset}
    if dynamo:
        torch.onnx.export(model, (x,), path, dynamo=True, external_data=False, verbose=False, **options)
    else:
        torch.onnx.export(model, (x,), path, dynamo=False, **options)
    proto = onnx.load(path)
    del proto.metadata_props[:]
    proto.doc_string = ""
    graph = proto.graph
    del graph.value_info[:]
    del graph.metadata_props[:]
    for item in [*graph.node, *graph.input, *graph.output, *graph.initializer]:
        del item.metadata_props[:]
        item.doc_string = ""
    if proto.ByteSize() > 300_000:
        shorten(graph)
    onnx.save(proto, path)


def shorten(graph):
    """Node and value names of the TorchScript exporter repeat the whole module path."""
    keep = {v.name for v in [*graph.input, *graph.output]} | {t.name for t in graph.initializer}
    short = {}
    for node in graph.node:
        node.name = ""
        for names in (node.input, node.output):
            for i, value in enumerate(names):
                if value and value not in keep:
                    names[i] = short.setdefault(value, f"v{len(short)}")


def text(tensor):
    data = np.ascontiguousarray(tensor.detach().numpy().astype("<f4"))
    return {"dims": list(data.shape), "float32": base64.b64encode(data.tobytes()).decode()}


def main(models, wanted=()):
    """Writes the fixtures of `models` {NAME: () -> (module, dims of x, names of outputs)}, or of the wanted ones.

    Where an exporter fails, NAME.json says why, under "not exported".
    """
    OUT.mkdir(exist_ok=True)
    for name in wanted or models:
        torch.manual_seed(20)
        model, shape, outputs = models[name]()
        # Default initialisations leave biases and class tokens at zero: a wrong rule for them would not show.
        for p in model.parameters():
            if p.abs().max() == 0:
                nn.init.normal_(p, 0, 0.1)
            elif "0.02" in f"{p.std():.2f}":
                p.data *= 5
        model.eval()
        x = torch.rand(shape, requires_grad=True)
        results = model(x)
        cotangents = [torch.randn_like(r) for r in results]
        (gradient,) = torch.autograd.grad(results, x, cotangents)
        golden = {"x": text(x), "gradient": text(gradient)}
        for key, result, cotangent in zip(outputs, results, cotangents, strict=True):
            golden[key] = text(result)
            golden[f"cotangent/{key}"] = text(cotangent)
        failed = {}
        for exporter, opset in model.exports.items():
            path = OUT / f"{name}.{exporter}.onnx"
            try:
                with torch.no_grad():
                    export(model, x.detach(), outputs, str(path), exporter != "torchscript", opset)
                print(path.name, path.stat().st_size)
            except Exception as error:
                path.unlink(missing_ok=True)
                failed[exporter] = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}"
                print(path.name, "not exported:", failed[exporter])
        if failed:
            golden["not exported"] = failed
        (OUT / f"{name}.json").write_text(json.dumps(golden))


if __name__ == "__main__":
    main(MODELS, sys.argv[1:])
