"""Turns a published checkpoint of OpenAI's guided-diffusion, which is a pickle, into a folder that Kintsugi opens.

    pip install torch safetensors
    python examples/convert_guided_diffusion.py 256x256_diffusion_uncond.pt guided-diffusion-256

`weights_only=True` lets the pickle make tensors and nothing else. Tensors keep their names; the folder's config.json holds the flags that
the model was published with. For a model of your own, name the published one that is most like it (--like) and correct its config.json.
"""

import argparse
import json
from pathlib import Path

COMMON = {
    "num_channels": 256,
    "num_res_blocks": 2,
    "attention_resolutions": "32,16,8",
    "num_head_channels": 64,
    "learn_sigma": True,
    "resblock_updown": True,
    "use_scale_shift_norm": True,
}
UNCONDITIONAL = COMMON | {"image_size": 256, "class_cond": False}

# Flags of each published file, from guided-diffusion's README.
PUBLISHED = {
    "64x64_diffusion": COMMON
    | {"image_size": 64, "num_channels": 192, "num_res_blocks": 3, "class_cond": True, "use_new_attention_order": True},
    "128x128_diffusion": COMMON | {"image_size": 128, "num_heads": 4, "num_head_channels": -1, "class_cond": True},
    "256x256_diffusion": COMMON | {"image_size": 256, "class_cond": True},
    "256x256_diffusion_uncond": UNCONDITIONAL,
    "512x512_diffusion": COMMON | {"image_size": 512, "class_cond": True},
    "lsun_bedroom": UNCONDITIONAL,
    "lsun_cat": UNCONDITIONAL,
    "lsun_horse": UNCONDITIONAL,
    "lsun_horse_nodropout": UNCONDITIONAL,
}


def scheduler(model):
    """1,000 steps, linear but for the smallest model; the second half of the network's output is the variance."""
    schedule = {"beta_schedule": "squaredcos_cap_v2" if model == "64x64_diffusion" else "linear", "beta_start": 0.0001, "beta_end": 0.02}
    return {"_class_name": "DDPMScheduler", "num_train_timesteps": 1000, **schedule, "variance_type": "learned_range", "clip_sample": True}


def convert(source, folder, model, half=False):
    import torch
    from safetensors.torch import save_file

    tensors = torch.load(source, map_location="cpu", weights_only=True)
    dtype = torch.float16 if half else torch.float32
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()}, folder / "diffusion_pytorch_model.safetensors")
    config = {"_class_name": "GuidedDiffusionUNetModel", **PUBLISHED[model]}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "scheduler_config.json").write_text(json.dumps(scheduler(model), indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description="A published checkpoint of guided-diffusion as a folder that Kintsugi opens.")
    parser.add_argument("source", type=Path, help="the .pt file")
    parser.add_argument("folder", type=Path, help="where to write")
    parser.add_argument("--like", choices=PUBLISHED, help="the published model with these flags (default: by the file's name)")
    parser.add_argument("--half", action="store_true", help="save float16: half the size")
    options = parser.parse_args()
    model = options.like or options.source.stem
    if model not in PUBLISHED:
        parser.error(f"{options.source.name} is not the name of a published model; say which one has its flags: --like")
    convert(options.source, options.folder, model, half=options.half)


if __name__ == "__main__":
    main()
