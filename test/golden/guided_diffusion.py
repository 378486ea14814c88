"""Makes test/golden/guided-diffusion: what diffusers' UNet2DModel computes in the place of OpenAI's guided-diffusion UNet.

    python test/golden/guided_diffusion.py          (versions: test/golden/requirements.txt)

guided-diffusion is no package. Its network is UNet2DModel under other names, with queries, keys and values in one matrix; the names
and the split are written out here. Weights and inputs are not saved: both sides draw them from their names (`draw`).
"""

import hashlib
import json
import math
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.schedulers import scheduling_ddpm
from safetensors.torch import save_file

OUT = Path(__file__).parent / "guided-diffusion"
TIMESTEPS = (0, 40, 999)

sys.path.append(str(Path(__file__).parents[2] / "examples"))
from convert_guided_diffusion import PUBLISHED  # noqa: E402

ADM = PUBLISHED["256x256_diffusion_uncond"]

# name: flags, batch, height, width
GUIDED = {
    # In the layout of 256x256_diffusion_uncond.
    "uncond-256": (ADM | dict(num_channels=32, num_head_channels=32), 1, 32, 64),
    # In the layout of 64x64_diffusion, with a first level that is narrower than the time embedding, as in 512x512_diffusion.
    "class-new-order": (
        ADM | dict(image_size=64, num_channels=64, channel_mult=[0.5, 1, 1.5], num_res_blocks=1, attention_resolutions="32",
                   num_head_channels=16, class_cond=True, num_classes=5, use_new_attention_order=True), 2, 8, 12),
    # Everything that the published models do not use.
    "plain": (
        dict(image_size=64, num_channels=32, channel_mult="1,2,3", num_res_blocks=1, attention_resolutions="32,16", num_heads=4,
             num_heads_upsample=2, use_scale_shift_norm=False, resblock_updown=False), 2, 8, 12),
}

SMALL = dict(sample_size=8, block_out_channels=(8, 12, 16), layers_per_block=1, norm_num_groups=4, attention_head_dim=4)
UNET_2D = {
    "unet-2d-resnet": SMALL | dict(
        down_block_types=("ResnetDownsampleBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        downsample_type="resnet", upsample_type="resnet", resnet_time_scale_shift="scale_shift", num_class_embeds=5,
        attn_norm_num_groups=2, mid_block_scale_factor=1.3),
    # scale_shift without groups for the middle attention: it then has no norm. Types of resampling are read by attention blocks only.
    "unet-2d-mixed": SMALL | dict(
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        downsample_type="resnet", upsample_type="conv", resnet_time_scale_shift="scale_shift"),
}


def draw(name, shape):
    """Uniform in [-1, 1), decided by the name alone: a 32-bit hash of its CRC-32 and of the place."""
    x = np.arange(math.prod(shape), dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(zlib.crc32(name.encode()))
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    x ^= x >> np.uint32(15)
    return (x.astype(np.float64) / 2**31 - 1).reshape(shape)


def weight(name, shape):
    """Large enough that every layer changes the output: rows of matrices have length 1, on average."""
    u = draw(name, shape)
    if len(shape) > 1:
        u *= math.sqrt(3 / math.prod(shape[1:]))
    else:
        u = 1 + 0.3 * u if name.endswith("weight") else 0.3 * u
    return torch.from_numpy(u.astype(np.float32))


def sample(*shape):
    return torch.from_numpy((draw("sample", shape) * math.sqrt(3)).astype(np.float32))


class Guided:
    """The flags of guided-diffusion as a UNet2DModel, and the names of its tensors in both."""

    def __init__(self, image_size, num_channels, num_res_blocks, attention_resolutions, use_scale_shift_norm, resblock_updown,
                 channel_mult="", num_heads=4, num_heads_upsample=-1, num_head_channels=-1, learn_sigma=False, class_cond=False,
                 num_classes=1000, use_new_attention_order=False):
        mult = channel_mult or {512: "0.5,1,1,2,2,4,4", 256: "1,1,2,2,4,4", 128: "1,1,2,3,4", 64: "1,2,3,4"}[image_size]
        mult = mult if isinstance(mult, list) else [float(m) for m in mult.split(",")]
        self.channels = [int(m * num_channels) for m in mult]
        self.attends = [2**level in [image_size // int(r) for r in attention_resolutions.split(",")] for level in range(len(mult))]
        self.resnets, self.updown, self.parts_first = num_res_blocks, resblock_updown, use_new_attention_order
        down = ["AttnDownBlock2D" if a else "ResnetDownsampleBlock2D" if resblock_updown else "DownBlock2D" for a in self.attends]
        resample = "resnet" if resblock_updown else "conv"
        self.model = UNet2DModel(
            sample_size=image_size,
            out_channels=6 if learn_sigma else 3,
            block_out_channels=self.channels,
            layers_per_block=num_res_blocks,
            down_block_types=down,
            up_block_types=[d.replace("Downsample", "Upsample").replace("Down", "Up") for d in reversed(down)],
            downsample_type=resample,
            upsample_type=resample,
            attention_head_dim=32 if num_head_channels == -1 else num_head_channels,
            norm_num_groups=32,
            attn_norm_num_groups=32,
            resnet_time_scale_shift="scale_shift" if use_scale_shift_norm else "default",
            num_class_embeds=num_classes if class_cond else None,
            time_embedding_dim=4 * num_channels,
        )
        # UNet2DModel ties the sinusoids to the first level, and the head number to the head's width.
        self.model.time_proj = Timesteps(num_channels, True, 0)
        self.model.time_embedding = TimestepEmbedding(num_channels, 4 * num_channels)
        for name, module in self.model.named_modules():
            if isinstance(module, Attention) and num_head_channels == -1:
                module.heads = num_heads_upsample if name.startswith("up") and num_heads_upsample != -1 else num_heads

    def blocks(self):
        """(name in guided-diffusion, name in UNet2DModel), numbered as guided-diffusion builds them."""
        n = 1
        for level, attends in enumerate(self.attends):
            for i in range(self.resnets):
                yield f"input_blocks.{n}.0", f"down_blocks.{level}.resnets.{i}"
                if attends:
                    yield f"input_blocks.{n}.1", f"down_blocks.{level}.attentions.{i}"
                n += 1
            if level < len(self.attends) - 1:
                yield f"input_blocks.{n}.0", f"down_blocks.{level}.downsamplers.0"
                n += 1
        yield "middle_block.0", "mid_block.resnets.0"
        yield "middle_block.1", "mid_block.attentions.0"
        yield "middle_block.2", "mid_block.resnets.1"
        n = 0
        for block, attends in enumerate(reversed(self.attends)):
            for i in range(self.resnets + 1):
                yield f"output_blocks.{n}.0", f"up_blocks.{block}.resnets.{i}"
                if attends:
                    yield f"output_blocks.{n}.1", f"up_blocks.{block}.attentions.{i}"
                if i == self.resnets and block < len(self.attends) - 1:
                    yield f"output_blocks.{n}.{2 if attends else 1}", f"up_blocks.{block}.upsamplers.0"
                n += 1

    def layers(self):
        """(name in guided-diffusion, name in UNet2DModel) of every layer but queries, keys and values."""
        outer = [("time_embed.0", "time_embedding.linear_1"), ("time_embed.2", "time_embedding.linear_2"), ("label_emb", "class_embedding")]
        outer += [("input_blocks.0.0", "conv_in"), ("out.0", "conv_norm_out"), ("out.2", "conv_out")]
        yield from outer
        resnet = [("in_layers.0", "norm1"), ("in_layers.2", "conv1"), ("emb_layers.1", "time_emb_proj"), ("out_layers.0", "norm2")]
        resnet += [("out_layers.3", "conv2"), ("skip_connection", "conv_shortcut")]
        attention = [("norm", "group_norm"), ("proj_out", "to_out.0")]
        for ours, theirs in self.blocks():
            sampler = [("op" if "downsamplers" in theirs else "conv", "conv")] if "samplers" in theirs and not self.updown else resnet
            for a, b in attention if "attentions" in theirs else sampler:
                yield f"{ours}.{a}", f"{theirs}.{b}"

    def split(self, name, tensor, heads):
        """Queries, keys and values out of `qkv`: parts of heads, or heads of parts (`use_new_attention_order`)."""
        rest = tensor.shape[1:2]
        if self.parts_first:
            return tensor.reshape(3, -1, *rest).unbind(0)
        return [part.reshape(-1, *rest) for part in tensor.reshape(heads, 3, -1, *rest).unbind(1)]

    def tensors(self):
        """Name in guided-diffusion: dims."""
        have = {k: list(v.shape) for k, v in self.model.state_dict().items()}
        found = {}
        for ours, theirs in self.layers():
            for kind in ("weight", "bias"):
                dims = have.pop(f"{theirs}.{kind}", None)
                if dims:
                    found[f"{ours}.{kind}"] = dims + [1] if ours.endswith("proj_out") and kind == "weight" else dims
        for ours, theirs in self.blocks():
            if "attentions" not in theirs:
                continue
            for kind in ("weight", "bias"):
                [dims] = {tuple(have.pop(f"{theirs}.to_{p}.{kind}")) for p in "qkv"}
                found[f"{ours}.qkv.{kind}"] = [3 * dims[0], *dims[1:]] + [1] * (kind == "weight")
        assert not have, have
        return found

    def load(self):
        state = {}
        for ours, theirs in self.layers():
            for kind in ("weight", "bias"):
                name = f"{theirs}.{kind}"
                if name in self.model.state_dict():
                    shape = self.tensors()[f"{ours}.{kind}"]
                    state[name] = weight(f"{ours}.{kind}", shape).reshape(self.model.state_dict()[name].shape)
        for ours, theirs in self.blocks():
            if "attentions" in theirs:
                heads = self.model.get_submodule(theirs).heads
                for kind in ("weight", "bias"):
                    whole = weight(f"{ours}.qkv.{kind}", self.tensors()[f"{ours}.qkv.{kind}"])
                    state |= {f"{theirs}.to_{p}.{kind}": part for p, part in zip("qkv", self.split(ours, whole, heads))}
        self.model.load_state_dict(state)
        return self.model.eval().requires_grad_(False)


def outputs(model, dims, labels):
    """At three timesteps; at t = 40 also the gradient with respect to the sample, for a drawn cotangent."""
    found = {f"output_{t}": model(sample(*dims), t, class_labels=labels).sample.contiguous() for t in TIMESTEPS}
    x = sample(*dims).requires_grad_()
    y = model(x, 40, class_labels=labels).sample
    cotangent = torch.from_numpy((draw("cotangent", y.shape) * math.sqrt(3)).astype(np.float32))
    return found | {"gradient": torch.autograd.grad(y, x, cotangent)[0].contiguous()}


def save(name, config, tensors, model, dims):
    count = model.config.num_class_embeds
    labels = torch.tensor([1, 4]) if count else None
    case = {"config": config, "dims": dims, "labels": labels.tolist() if count else None, "tensors": tensors}
    OUT.mkdir(exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(case) + "\n")
    save_file(outputs(model, dims, labels), OUT / f"{name}.safetensors")


def purified(model, dims, label):
    """The image noised to t = 40 and denoised in 4 steps, by DDPM with the learned variance and by DiffPure's SDE; draws are given."""
    draws = [torch.from_numpy((draw(f"noise {i}", dims) * math.sqrt(3)).astype(np.float32)) for i in range(5)]
    image = sample(*dims).clamp(-1, 1)
    places, labels = [39, 29, 19, 9], torch.tensor([label])
    scheduler = DDPMScheduler(variance_type="learned_range")
    scheduler.set_timesteps(timesteps=places)
    noised = x = scheduler.add_noise(image, draws[0], torch.tensor([39]))
    for t, noise in zip(places, draws[1:]):
        # The scheduler draws for itself: the draw is replaced by the given one.
        scheduling_ddpm.randn_tensor = lambda *_, noise=noise, **__: noise
        x = scheduler.step(model(x, t, class_labels=labels).sample, t, x).prev_sample
    by_ddpm, x = x, noised.double()
    low, high = 0.1, 20
    times = [(k + 1) / 1000 for k in places] + [1e-5]
    for t, end, noise in zip(times, times[1:], draws[1:]):
        beta, bar = low + t * (high - low), math.exp(-(high - low) * t * t / 2 - low * t)
        score = -model(x.float(), round(1000 * t), class_labels=labels).sample[:, :3].double() / math.sqrt(1 - bar)
        x = x + (beta / 2 * x + beta * score) * (t - end) + math.sqrt(beta * (t - end)) * noise.double()
    return {"ddpm": by_ddpm, "vp-sde": x.float()}


def published():
    """Every tensor of the published models, counted and hashed: a line "NAME DIM,DIM..." each, sorted."""
    found = {}
    for name, flags in PUBLISHED.items():
        with torch.device("meta"):
            tensors = Guided(**flags).tensors()
        lines = "\n".join(f"{key} {','.join(map(str, dims))}" for key, dims in sorted(tensors.items()))
        parameters = sum(math.prod(dims) for dims in tensors.values())
        digest = hashlib.sha256(lines.encode()).hexdigest()
        found[name] = {"config": flags, "tensors": len(tensors), "parameters": parameters, "sha256": digest}
    (OUT / "published.json").write_text(json.dumps(found, indent="\t") + "\n")


def main():
    for name, (flags, batch, height, width) in GUIDED.items():
        guided = Guided(**flags)
        save(name, {"_class_name": "GuidedDiffusionUNetModel", **flags}, guided.tensors(), guided.load(), [batch, 3, height, width])
        if name == "class-new-order":
            save_file(purified(guided.model, [1, 3, height, width], label=2), OUT / "purified.safetensors")
    for name, config in UNET_2D.items():
        model = UNet2DModel(**config).eval().requires_grad_(False)
        shapes = {k: list(v.shape) for k, v in model.state_dict().items()}
        model.load_state_dict({k: weight(k, shape) for k, shape in shapes.items()})
        save(name, {"_class_name": "UNet2DModel", **config}, shapes, model, [2, 3, 8, 12])
    published()


if __name__ == "__main__":
    main()
