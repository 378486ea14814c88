"""Writes test/golden/pipelines: a tiny random 4-channel UNet, an autoencoder that does not fit it, what diffusers' pipelines paint with it and given noise, and RePaint.

    python test/golden/pipelines.py          (versions: test/golden/requirements.txt; after make_diffusers.py)
"""

import json
import sys
from pathlib import Path

import diffusers
import torch
from diffusers import (
    AutoencoderTiny,
    DDIMScheduler,
    RePaintScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    UNet2DConditionModel,
)
from make_diffusers import lively, random
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, PreTrainedTokenizerFast

GOLDEN = Path(__file__).parent
PARTS = GOLDEN / "diffusers" / "inpaint"
OUT = GOLDEN / "pipelines"
PROMPTS = ["a photo of a dog", "a cat"]


def unet(**changes):
    """In the shape of Stable Diffusion 1, as make_diffusers.py's but for the channels that go in."""
    return lively(
        UNet2DConditionModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            block_out_channels=(8, 8),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=12,
            attention_head_dim=2,
            norm_num_groups=4,
            **changes,
        ),
        seed=30,
    )


def other_vae():
    """An autoencoder whose latents have another number of channels."""
    channels = dict(encoder_block_out_channels=(4, 4), decoder_block_out_channels=(4, 4), latent_channels=3)
    return lively(AutoencoderTiny(**channels, num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1)), seed=34)


def pipeline(cls, model):
    """All parts but the UNet are those of the tiny 9-channel pipeline."""
    parts = dict(
        vae=AutoencoderTiny.from_pretrained(PARTS / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(PARTS / "text_encoder"),
        tokenizer=PreTrainedTokenizerFast.from_pretrained(PARTS / "tokenizer"),
        unet=model,
        scheduler=DDIMScheduler.from_pretrained(PARTS / "scheduler"),
    )
    pipe = cls(**parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw_from(queue, *modules):
    """Pipelines and schedulers draw for themselves: the draws are replaced by the given ones."""
    for module in modules:
        sys.modules[module].randn_tensor = lambda *_, **__: next(queue)


def painted(pipe, draws, scheduler, **arguments):
    """One image; `scheduler` is a class name without its ending."""
    cls = getattr(diffusers, f"{scheduler}Scheduler")
    pipe.scheduler = cls.from_config(pipe.scheduler.config, **({"skip_prk_steps": True} if scheduler == "PNDM" else {}))
    draw_from(iter(draws.split(1)), type(pipe).__module__, cls.__module__)
    return pipe(output_type="pt", **arguments).images


INPAINT = [
    ("DDIM", 1.0, 7.5, 20),
    ("DDIM", 0.5, 3.0, 20),
    ("DDIM", 1.0, 1.0, 20),
    ("DDIM", 0.3, 1.0, 20),
    ("DDPM", 1.0, 3.0, 6),
    ("PNDM", 0.5, 3.0, 6),
    ("EulerDiscrete", 1.0, 3.0, 6),
    ("EulerDiscrete", 0.5, 3.0, 6),
    ("EulerAncestralDiscrete", 0.5, 3.0, 6),
    ("DPMSolverMultistep", 1.0, 3.0, 6),
    ("LCM", 1.0, 3.0, 4),
]
IMG2IMG = [
    ("DDIM", 1.0, 7.5, 20),
    ("DDIM", 0.5, 3.0, 20),
    ("DDIM", 0.3, 1.0, 20),
    ("DDPM", 0.5, 3.0, 6),
    ("EulerDiscrete", 0.5, 3.0, 6),
    ("DPMSolverMultistep", 1.0, 3.0, 6),
]


def pictures(model, lcm):
    given = load_file(PARTS / "golden.safetensors")
    image, mask = given["image"], given["mask"]
    # One row an image: its first noise, then that of every step.
    draws = random(2, 8, 4, 8, 8, seed=31)
    golden = {"image": image, "mask": mask, "draws": draws}
    for name, cls, cases in (("inpaint", StableDiffusionInpaintPipeline, INPAINT), ("img2img", StableDiffusionImg2ImgPipeline, IMG2IMG)):
        pipe = pipeline(cls, model)
        for scheduler, strength, guidance, steps in cases:
            outputs = []
            for i, prompt in enumerate(PROMPTS):
                arguments = dict(prompt=prompt, image=image[i : i + 1], strength=strength, guidance_scale=guidance, num_inference_steps=steps)
                if name == "inpaint":
                    arguments |= dict(mask_image=mask[i : i + 1], height=16, width=16)
                outputs.append(painted(pipe, draws[i], scheduler, **arguments))
            golden[f"{name}_{scheduler}_{strength}_{guidance}_{steps}"] = torch.cat(outputs)
    # A network that reads the guidance scale.
    pipe, arguments = pipeline(StableDiffusionInpaintPipeline, lcm), dict(height=16, width=16, num_inference_steps=4, strength=1.0)
    golden["lcm"] = painted(pipe, draws[0], "LCM", prompt=PROMPTS[0], image=image[:1], mask_image=mask[:1], guidance_scale=8.0, **arguments)
    save_file(golden, OUT / "golden.safetensors")


def repaint():
    """The timesteps of RePaintScheduler, and loops with a stand-in model, sin(x + t / 100) / 2, and given noise."""
    schedules = []
    for steps, jumps in ((250, {}), (20, {}), (20, dict(jump_length=5, jump_n_sample=3)), (13, dict(jump_length=4, jump_n_sample=2))):
        scheduler = RePaintScheduler()
        scheduler.set_timesteps(steps, **jumps)
        stride = 1000 // steps
        schedules.append({"steps": steps, **jumps, "levels": [t // stride for t in scheduler.timesteps.tolist()]})
    loops = []
    for jumps, config in ((dict(jump_length=3, jump_n_sample=3), {}), (dict(jump_length=2, jump_n_sample=2), {"clip_sample": False})):
        # One step for each trained timestep: with fewer, diffusers takes the betas of another stretch for the way up.
        config = {"num_train_timesteps": 12, "beta_start": 0.01, "beta_end": 0.3, **config}
        scheduler = RePaintScheduler(**config)
        scheduler.set_timesteps(12, **jumps)
        image, mask = random(1, 1, 3, 4, seed=32), torch.zeros(1, 1, 3, 4)
        mask[..., :2] = 1
        draws = random(120, 1, 3, 4, seed=33)
        draw_from(iter(draws.split(1)), RePaintScheduler.__module__)
        sample = sys.modules[RePaintScheduler.__module__].randn_tensor()
        # The samples after every step down; those of the ways up show in what follows.
        last, trace = scheduler.timesteps[0] + 1, []
        for t in scheduler.timesteps:
            if t < last:
                output = torch.sin(sample + t / 100) / 2
                # RePaint's mask is 1 where the image is known.
                sample = scheduler.step(output, t, sample, image, 1 - mask).prev_sample
                trace.append([round(v, 7) for v in sample.flatten().tolist()])
            else:
                sample = scheduler.undo_step(sample, last)
            last = t
        used = draws[: len(scheduler.timesteps) + 1]
        known = {"image": image.flatten().tolist(), "mask": mask.flatten().tolist()}
        loops.append({"config": config, **jumps, **known, "draws": used.flatten(1).tolist(), "trace": trace})
    (OUT / "repaint.json").write_text(json.dumps({"schedules": schedules, "loops": loops}) + "\n")


def main():
    OUT.mkdir(exist_ok=True)
    model = unet()
    model.save_pretrained(OUT / "unet")
    other_vae().save_pretrained(OUT / "vae-3-channels")
    lcm = unet(time_cond_proj_dim=8).half()
    lcm.save_pretrained(OUT / "unet-lcm")
    pictures(model, lcm.float())
    repaint()


if __name__ == "__main__":
    with torch.no_grad():
        main()
