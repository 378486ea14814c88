"""mini-inpaint: the 9-channel UNet2DConditionModel of a Stable Diffusion inpainting pipeline, on scenes.

The text encoder is mini-clip's and stays frozen, as does the autoencoder. The masked image that conditions the UNet is
often noised (the target is not), because purifiers repaint inside images that an attack has changed.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from clip_teacher import load_text_encoder
from common import Ema, Run, base_parser, setup, tidy
from data import Scenes, load_scenes, pixel_noise, split_rows, unit_batch
from masks import MaskSampler, draw_masks
from muon import make_optimizer
from prompts import encode


def parse() -> argparse.Namespace:
    parser = base_parser("Train mini-inpaint.", "mini-inpaint", minutes=58, batch_size=32, lr=1e-3)
    parser.add_argument("--vae", type=Path, required=True, help="the trained autoencoder (a diffusers folder)")
    parser.add_argument("--noised", type=float, default=0.5, help="share of samples whose conditioning image is noised")
    parser.add_argument("--amplitude", type=float, default=0.1, help="largest amplitude of that noise, pixels in [0, 1]")
    parser.add_argument("--outside", type=float, default=0.1, help="weight of the loss outside the mask")
    return parser.parse_args()


def build(width: int) -> UNet2DConditionModel:
    """Attention at 16 x 16 and below only; `width` is that of the text encoder."""
    return UNet2DConditionModel(
        sample_size=32,
        in_channels=9,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(48, 96, 160),
        layers_per_block=1,
        cross_attention_dim=width,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def build_scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )


@torch.no_grad()
def encode_images(vae: AutoencoderTiny, images: Tensor) -> Tensor:
    """[-1, 1] images -> scaled latents, as StableDiffusionInpaintPipeline computes them."""
    with torch.autocast("cpu", torch.bfloat16):
        latents = vae.encode(images.contiguous(memory_format=torch.channels_last)).latents
    return latents.float() * vae.config.scaling_factor


def all_latents(vae: AutoencoderTiny, images: np.ndarray, weights: Path, cache: Path) -> Tensor:
    """Latents of every scene, float16 [N, 4, 32, 32]; the cache is named by the autoencoder's weights."""
    path = cache / f"latents-{len(images)}-{hashlib.sha256(weights.read_bytes()).hexdigest()[:12]}.pt"
    if path.exists():
        return torch.load(path)
    parts = [
        encode_images(vae, unit_batch(images, np.arange(k, min(k + 256, len(images)))) * 2 - 1).half()
        for k in range(0, len(images), 256)
    ]
    torch.save(torch.cat(parts), path)
    return torch.cat(parts)


class PromptTable:
    """Hidden states of prompts, computed once each."""

    def __init__(self, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer) -> None:
        self.text_encoder, self.tokenizer = text_encoder, tokenizer
        self.known: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, prompts: list[str]) -> Tensor:
        new = [p for p in dict.fromkeys(prompts) if p not in self.known]
        if new:
            states = self.text_encoder(encode(self.tokenizer, new)).last_hidden_state
            self.known.update(zip(new, states, strict=True))
        return torch.stack([self.known[p] for p in prompts])


def pipeline(unet: UNet2DConditionModel, vae: AutoencoderTiny, text: CLIPTextModel, tokenizer: CLIPTokenizer):
    return StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def prefix_text_model(path: Path) -> None:
    """Names the weights `text_model.*`, as every published pipeline does and every transformers version reads."""
    weights = load_file(path)
    save_file({f"text_model.{name.removeprefix('text_model.')}": w for name, w in weights.items()}, path, {"format": "pt"})


def main() -> None:
    args = parse()
    setup(args)
    scenes = load_scenes(args.train, args.work / "cache")
    vae = AutoencoderTiny.from_pretrained(args.vae).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    text, tokenizer = load_text_encoder(args.work / "clip" / "model")
    unet = build(text.config.hidden_size).to(memory_format=torch.channels_last)
    ema = Ema(unet, 0.9985)
    optimizer = make_optimizer([unet], args.lr, 0.01, exclude=("conv_in", "conv_out"))
    run = Run("inpaint", args, {"unet": unet, "ema": ema, "optimizer": optimizer}, save_every=120)
    print(f"{sum(p.numel() for p in unet.parameters()) / 1e6:.2f} M parameters", flush=True)
    if not args.export_only:
        train(args, run, unet, ema, optimizer, scenes, vae, PromptTable(text, tokenizer))
    whole = ema.module.to(memory_format=torch.contiguous_format)
    parts = (whole, vae.to(memory_format=torch.contiguous_format), text, tokenizer)
    pipeline(*parts).to(torch.float16).save_pretrained(args.out)
    prefix_text_model(args.out / "text_encoder/model.safetensors")
    tidy(args.out)
    run.write_facts()


def train(
    args: argparse.Namespace,
    run: Run,
    unet: UNet2DConditionModel,
    ema: Ema,
    optimizer: torch.optim.Optimizer,
    scenes: Scenes,
    vae: AutoencoderTiny,
    prompts: PromptTable,
) -> None:
    rows = split_rows(len(scenes))[0]
    scheduler = build_scheduler()
    latents = all_latents(vae, scenes.images, args.vae / "diffusion_pytorch_model.safetensors", args.work / "cache")
    unet.set_attn_processor(AttnProcessor())  # on CPUs its backward pass is several times faster than the fused kernel's
    print(f"latents: standard deviation {latents.float().std():.3f}", flush=True)
    sampler = MaskSampler(scenes, np.random.default_rng([args.seed, run.step]))
    for _ in run.steps(optimizer, args.batch_size):
        batch = np.sort(rows[torch.randint(0, len(rows), (args.batch_size,)).numpy()])
        drawn = [sampler.draw(int(row)) for row in batch]
        masks = draw_masks([rect for rect, _ in drawn], scenes.images.shape[1])
        small = masks[:, :, ::2, ::2]  # what nearest interpolation gives, as in the pipeline
        seen = pixel_noise(unit_batch(scenes.images, batch), args.amplitude, args.noised)
        masked = encode_images(vae, (seen * 2 - 1) * (1 - masks))
        clean = latents[torch.as_tensor(batch)].float()
        noise = torch.randn_like(clean)
        steps = torch.randint(0, 1000, (args.batch_size,))
        noisy = scheduler.add_noise(clean, noise, steps)
        target = scheduler.get_velocity(clean, noise, steps)
        inputs = torch.cat([noisy, small, masked], dim=1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = unet(inputs, steps, prompts([prompt for _, prompt in drawn])).sample
        error = (predicted.float() - target).square().mean(1, keepdim=True)
        inside = (error * small).sum((1, 2, 3)) / small.sum((1, 2, 3)).clamp_min(1)
        loss = (inside + args.outside * error.mean((1, 2, 3))).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        ema.update(unet)
        run.log(50, loss=loss.item(), inside=inside.mean().item())


if __name__ == "__main__":
    main()
