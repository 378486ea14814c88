"""Makes test/golden/lora: LoRA files in three name styles, and what diffusers computes with each after `load_lora_weights` and `fuse_lora`.

Where the layers of one file have different alphas, diffusers 0.42 gives the attention layers of kohya's style the commonest of them. So the
reference of the file "mixed" are weights merged by the published formula, W + scale * alpha / rank * up @ down.

    python test/golden/lora.py          (after test/golden/published.py; versions: test/golden/requirements.txt)

The networks are the tiny ones of test/golden/published_tiny: sd1.5-unet and sd1.5-text_encoder.
"""

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from make_diffusers import random, tokenizer
from safetensors.torch import save_file
from transformers import CLIPTextModel

HERE = Path(__file__).parent
TINY, OUT = HERE / "published_tiny", HERE / "lora"
SCALE = 0.7


def networks():
    unet = UNet2DConditionModel.from_pretrained(TINY / "sd1.5-unet", torch_dtype=torch.float32)
    text = CLIPTextModel.from_pretrained(TINY / "sd1.5-text_encoder", torch_dtype=torch.float32)
    return unet.eval().requires_grad_(False), text.eval().requires_grad_(False)


def matrices(weight, rank, seed):
    """Down and up as the trainers make them: a convolution's kernel is in the lower one."""
    out = weight.shape[0]
    if weight.ndim == 2:
        down, up = random(rank, weight.shape[1], seed=seed), random(out, rank, seed=seed + 1)
    else:
        down, up = random(rank, *weight.shape[1:], seed=seed), random(out, rank, 1, 1, seed=seed + 1)
    return down * 0.3 / weight[0].numel() ** 0.5, up * 0.3


def layers(network, wanted):
    return [(name.removesuffix(".weight"), p) for name, p in network.named_parameters() if name.endswith(".weight") and p.ndim in (2, 4) and wanted(name)]


def is_attention(name):
    return any(f".{p}." in name for p in ("to_q", "to_k", "to_v", "to_out.0")) and "transformer_blocks" in name


def lcm_layers(name):
    """What LCM-LoRA holds: attention, feed-forward, projections, and the convolutions of ResNets and samplers; here of some blocks."""
    return name.startswith(("down_blocks.0", "mid_block", "up_blocks.3.attentions.0", "up_blocks.2.upsamplers", "up_blocks.1.resnets.0")) and "embed" not in name.replace("time_emb_proj", "")


def text_layers(name):
    return any(p in name for p in ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")) and ".layers.0." in name


def kohya(unet, text, alpha=lambda i: 5.0):
    """kohya's scripts, and LCM-LoRA's file: float16, ranks that differ, one alpha for all layers."""
    tensors = {}
    for prefix, network, wanted in (("lora_unet_", unet, lcm_layers), ("lora_te_text_model_", text, text_layers)):
        for i, (name, weight) in enumerate(layers(network, wanted)):
            rank = 2 + i % 2
            down, up = matrices(weight, rank, seed=100 + 2 * i)
            key = prefix + name.removeprefix("text_model.").replace(".", "_")
            tensors |= {f"{key}.lora_down.weight": down.half(), f"{key}.lora_up.weight": up.half(), f"{key}.alpha": torch.tensor(alpha(i)).half()}
    return tensors, None


def mixed(unet, text):
    """The same with alphas that differ."""
    return kohya(unet, text, alpha=lambda i: 1.0 + i % 3)


def merge(network, prefix, tensors):
    """By the formula."""
    for name, weight in network.named_parameters():
        key = prefix + name.removeprefix("text_model.").removesuffix(".weight").replace(".", "_")
        if f"{key}.alpha" in tensors:
            down, up, alpha = (tensors[f"{key}.{part}"].float() for part in ("lora_down.weight", "lora_up.weight", "alpha"))
            weight += SCALE * alpha / down.shape[0] * (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)


def peft(unet, text):
    """What current versions of diffusers save; alphas stand in the metadata."""
    tensors = {}
    for prefix, network, wanted in (("unet.", unet, is_attention), ("text_encoder.", text, text_layers)):
        for i, (name, weight) in enumerate(layers(network, wanted)):
            down, up = matrices(weight, 2, seed=300 + 2 * i)
            tensors |= {f"{prefix}{name}.lora_A.weight": down, f"{prefix}{name}.lora_B.weight": up}
    config = {"r": 2, "lora_alpha": 3, "rank_pattern": {}, "alpha_pattern": {}, "use_dora": False}
    targets = {"unet": ["to_q", "to_k", "to_v", "to_out.0"], "text_encoder": ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]}
    metadata = {f"{part}.{k}": v for part, names in targets.items() for k, v in {**config, "target_modules": names}.items()}
    return tensors, {"lora_adapter_metadata": json.dumps(metadata)}


def processors(unet, text):
    """diffusers before 0.23: the attention's processors, no alpha, the UNet only."""
    tensors = {}
    for i, (name, weight) in enumerate(layers(unet, is_attention)):
        down, up = matrices(weight, 2, seed=500 + 2 * i)
        module, part = name.removesuffix(".0").rsplit(".", 1)
        tensors |= {f"unet.{module}.processor.{part}_lora.down.weight": down, f"unet.{module}.processor.{part}_lora.up.weight": up}
    return tensors, None


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    for style in (kohya, mixed, peft, processors):
        unet, text = networks()
        tensors, metadata = style(unet, text)
        file = OUT / f"{style.__name__}.safetensors"
        save_file({k: v.contiguous() for k, v in tensors.items()}, file, metadata={"format": "pt", **(metadata or {})})
        if style is mixed:
            merge(unet, "lora_unet_", tensors)
            merge(text, "lora_te_text_model_", tensors)
        else:
            pipe = StableDiffusionPipeline(
                vae=AutoencoderTiny(), text_encoder=text, tokenizer=tokenizer(), unet=unet, scheduler=DDIMScheduler(),
                safety_checker=None, feature_extractor=None, requires_safety_checker=False,
            )
            pipe.load_lora_weights(str(OUT), weight_name=file.name)
            pipe.fuse_lora(lora_scale=SCALE)
        sample, states = random(2, 4, 8, 8, seed=6), random(2, 5, 6, seed=7)
        input_ids = torch.randint(0, text.config.vocab_size, (2, 9), generator=torch.Generator().manual_seed(34))
        with torch.no_grad():
            golden = {
                "sample": sample,
                "encoder_hidden_states": states,
                "output_37": unet(sample, 37, states).sample,
                "input_ids": input_ids,
                "last_hidden_state": text(input_ids).last_hidden_state,
            }
        save_file({k: v.contiguous() for k, v in golden.items()}, OUT / f"{style.__name__}.golden.safetensors")


if __name__ == "__main__":
    main()
