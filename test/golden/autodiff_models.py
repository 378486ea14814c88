"""Fixtures as of autodiff.py, for image classifiers, encoders and segmentation networks. Run: python test/golden/autodiff_models.py [NAME ...]"""

import sys
from contextlib import nullcontext
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import nn

from autodiff import Wrap, main


def calibrated(model, dims):
    """Batch norms with the statistics of random images: fresh ones would let activations grow or vanish, and do nothing themselves."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for module in norms:
        module.momentum = None
        nn.init.uniform_(module.weight, 0.5, 1.5)
        nn.init.normal_(module.bias, 0, 0.2)
    with torch.no_grad():
        model.train()(torch.rand(8, *dims))
    return model


class ClipBottleneck(nn.Module):
    """All convolutions have stride 1; an average pooling in front of the last one, and of the skip, takes the stride."""

    def __init__(self, inplanes, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.skip = nn.Identity()
        if stride > 1 or inplanes != 4 * planes:
            self.skip = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(inplanes, 4 * planes, 1, bias=False), nn.BatchNorm2d(4 * planes))

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)))
        h = self.pool(F.relu(self.bn2(self.conv2(h))))
        return F.relu(self.bn3(self.conv3(h)) + self.skip(x))


class AttentionPool(nn.Module):
    """The mean of all positions asks all positions."""

    def __init__(self, positions, width, heads, out):
        super().__init__()
        self.position = nn.Parameter(torch.randn(positions + 1, width) * width**-0.5)
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.c = nn.Linear(width, out)
        self.heads = heads

    def forward(self, x):
        x = x.flatten(2).permute(2, 0, 1)
        x = torch.cat([x.mean(0, keepdim=True), x]) + self.position[:, None]
        pooled, _ = F.multi_head_attention_forward(
            query=x[:1], key=x, value=x, embed_dim_to_check=x.shape[-1], num_heads=self.heads, in_proj_weight=None,
            in_proj_bias=torch.cat([self.q.bias, self.k.bias, self.v.bias]), bias_k=None, bias_v=None, add_zero_attn=False, dropout_p=0.0,
            out_proj_weight=self.c.weight, out_proj_bias=self.c.bias, training=False, need_weights=False, use_separate_proj_weight=True,
            q_proj_weight=self.q.weight, k_proj_weight=self.k.weight, v_proj_weight=self.v.weight)
        return pooled.squeeze(0)


class ClipResNet(nn.Module):
    """The ResNet of CLIP: a stem of three convolutions, average pooling wherever it strides, attention pooling at the end."""

    def __init__(self, width=8, heads=2, image=32, out=12):
        super().__init__()
        stem, last = [], 3
        for channels, stride in ((width // 2, 2), (width // 2, 1), (width, 1)):
            stem += [nn.Conv2d(last, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
            last = channels
        self.stem = nn.Sequential(*stem, nn.AvgPool2d(2))
        self.layers = nn.Sequential(ClipBottleneck(width, width // 2, 1), ClipBottleneck(2 * width, width, 2))
        self.attention = AttentionPool((image // 8) ** 2, 4 * width, heads, out)

    def forward(self, x):
        return (self.attention(self.layers(self.stem(x))),)


def clip_resnet():
    return Wrap(calibrated(ClipResNet(), (3, 32, 32)), lambda m, x: m(x)), (2, 3, 32, 32), ["image_embeds"]


class InvertedResidual(nn.Module):
    """MobileNetV3: widen, depthwise convolution, squeeze-and-excite with a hard sigmoid, narrow."""

    def __init__(self, channels, wide, out, kernel, stride, activation):
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), activation())
        self.depthwise = nn.Sequential(
            nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False), nn.BatchNorm2d(wide), activation())
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide, 8, 1), nn.ReLU(), nn.Conv2d(8, wide, 1), nn.Hardsigmoid())
        self.project = nn.Sequential(nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out))
        self.residual = stride == 1 and channels == out

    def forward(self, x):
        h = self.depthwise(self.expand(x))
        h = self.project(h * self.squeeze(h))
        return x + h if self.residual else h


def mobilenet_v3():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish(), InvertedResidual(8, 16, 8, 3, 1, nn.ReLU),
        InvertedResidual(8, 24, 12, 5, 2, nn.Hardswish), nn.Conv2d(12, 32, 1, bias=False), nn.BatchNorm2d(32), nn.Hardswish(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 24), nn.Hardswish(), nn.Linear(24, 10))
    return Wrap(calibrated(model, (3, 32, 32)), lambda m, x: (m(x),)), (2, 3, 32, 32), ["logits"]


def resnet_v1_5():
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=8, hidden_sizes=[16, 32], depths=[1, 2], num_labels=10)
    model = calibrated(ResNetForImageClassification(config), (3, 32, 32))
    return Wrap(model, lambda m, x: (m(pixel_values=x).logits,)), (2, 3, 32, 32), ["logits"]


def efficientnet():
    from transformers import EfficientNetConfig, EfficientNetForImageClassification

    # Channels are multiplied by the width: 320 is 8, 640 is 16, and the fixed 1,280 of the head 32.
    config = EfficientNetConfig(
        image_size=33, width_coefficient=0.025, depth_coefficient=1.0, kernel_sizes=[3, 3, 5], in_channels=[320, 320, 640],
        out_channels=[320, 640, 640], strides=[1, 2, 2], num_block_repeats=[1, 1, 2], expand_ratios=[1, 4, 4], depthwise_padding=[1],
        hidden_dim=32, initializer_range=0.3, num_labels=10)
    model = calibrated(EfficientNetForImageClassification(config), (3, 33, 33))
    return Wrap(model, lambda m, x: (m(pixel_values=x).logits,)), (2, 3, 33, 33), ["logits"]


def convnext():
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig(hidden_sizes=[8, 16], depths=[2, 2], num_stages=2, layer_scale_init_value=0.5, initializer_range=0.2, num_labels=10)
    return Wrap(ConvNextForImageClassification(config), lambda m, x: (m(pixel_values=x).logits,)), (2, 3, 32, 32), ["logits"]


VIT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}


def deit():
    from transformers import DeiTConfig, DeiTForImageClassification

    config = DeiTConfig(**VIT, num_labels=10)
    return Wrap(DeiTForImageClassification(config), lambda m, x: (m(pixel_values=x).logits,)), (2, 3, 32, 32), ["logits"]


def siglip_vision():
    from transformers import SiglipVisionConfig, SiglipVisionModel

    def call(m, x):
        out = m(pixel_values=x)
        return out.last_hidden_state, out.pooler_output

    return Wrap(SiglipVisionModel(SiglipVisionConfig(**VIT)), call), (2, 3, 32, 32), ["last_hidden_state", "pooler_output"]


def swin():
    from transformers import SwinConfig, SwinForImageClassification

    # 8 x 8 patches do not divide into windows of 3: padding, cyclic shifts and their masks.
    config = SwinConfig(image_size=32, patch_size=4, embed_dim=16, depths=[2, 1], num_heads=[2, 4], window_size=3, mlp_ratio=2, num_labels=10)
    return Wrap(SwinForImageClassification(config), lambda m, x: (m(pixel_values=x).logits,), modern=True), (2, 3, 32, 32), ["logits"]


def segformer():
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16], patch_sizes=[7, 3], strides=[4, 2],
        num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=16, num_labels=5)
    model = calibrated(SegformerForSemanticSegmentation(config), (3, 32, 48))
    return Wrap(model, lambda m, x: (m(pixel_values=x).logits,)), (2, 3, 32, 48), ["logits"]


def clipseg():
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    text = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "max_position_embeddings": 8, "bos_token_id": 48, "eos_token_id": 49}
    config = CLIPSegConfig(text_config=text, vision_config={**VIT, "num_hidden_layers": 3}, projection_dim=16, reduce_dim=8,
                           extract_layers=[1, 2], decoder_num_attention_heads=2, decoder_intermediate_size=16)
    words = torch.tensor([[48, 5, 9, 49], [48, 7, 49, 49]])

    def call(m, x):
        # Its forward pass runs CLIP, which training leaves alone, under no_grad.
        with patch.object(torch, "no_grad", nullcontext):
            return (m(input_ids=words, pixel_values=x).logits,)

    model = CLIPSegForImageSegmentation(config)
    # Its decoder starts with a deviation of 1, at which even torch.autograd has an error of 3e-5 in float32.
    for p in model.decoder.parameters():
        if p.dim() > 1:
            p.data *= 0.3
    return Wrap(model, call), (2, 3, 32, 32), ["logits"]


def sam_vision():
    from transformers import SamVisionConfig, SamVisionModel

    config = SamVisionConfig(hidden_size=16, output_channels=8, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=4,
                             window_size=3, global_attn_indexes=[1], mlp_dim=32, initializer_range=0.1)
    return Wrap(SamVisionModel(config), lambda m, x: (m(pixel_values=x).last_hidden_state,)), (1, 3, 32, 32), ["last_hidden_state"]


MODELS = {f.__name__: f for f in [clip_resnet, mobilenet_v3, resnet_v1_5, efficientnet, convnext, deit, siglip_vision, swin, segformer, clipseg, sam_vision]}

if __name__ == "__main__":
    main(MODELS, sys.argv[1:])
