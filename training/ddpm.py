"""mini-ddpm: an unconditional UNet2DModel (DDPM) on scenes and on crops of photographs.

Fully convolutional and without attention, so it also denoises larger canvases than it was trained on.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from torch import Tensor

from common import Ema, Run, base_parser, contact_sheet, setup, tidy
from data import jitter_colour, load_scenes, photo_crops, photographs, split_rows, unit_batch
from muon import make_optimizer


def parse() -> argparse.Namespace:
    parser = base_parser("Train mini-ddpm.", "mini-ddpm", minutes=26, batch_size=64, lr=1.5e-3)
    parser.add_argument("--photos", type=Path, help="folder of photographs; without it only scenes are used")
    parser.add_argument("--photo-crops", type=int, default=20_000, help="crops drawn once from the photographs")
    parser.add_argument("--held-out-photos", type=int, default=30, help="photographs (the last by name) never trained on")
    parser.add_argument("--low-noise", type=float, default=0.6, help="share of samples with t < 300, where purifiers work")
    return parser.parse_args()


def build() -> UNet2DModel:
    return UNet2DModel(
        sample_size=64,
        in_channels=3,
        out_channels=3,
        block_out_channels=(16, 24, 48, 96),
        down_block_types=("DownBlock2D",) * 4,
        up_block_types=("UpBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=8,
        norm_eps=1e-5,
        add_attention=False,
    )


def build_scheduler() -> DDPMScheduler:
    return DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear", beta_start=1e-4, beta_end=0.02)


def load_pool(args: argparse.Namespace) -> np.ndarray:
    """Scenes and crops, uint8 [N, 64, 64, 3], shuffled together by the random rows that training draws."""
    parts = []
    if (args.train / "annotations").exists():
        scenes = load_scenes(args.train, args.work / "cache")
        parts.append(np.asarray(scenes.images[split_rows(len(scenes))[0]]))
    if args.photos is not None:
        cache = args.work / "cache" / f"photo-crops-{args.photo_crops}.npy"
        if not cache.exists():
            cache.parent.mkdir(parents=True, exist_ok=True)
            files = photographs(args.photos)[: -args.held_out_photos]
            np.save(cache, photo_crops(files, args.photo_crops, 64, np.random.default_rng(args.seed)))
        parts.append(np.load(cache))
    if not parts:
        raise SystemExit(f"neither scenes in {args.train} nor --photos: nothing to train on")
    return np.concatenate(parts)


def draw_timesteps(count: int, low: float) -> Tensor:
    wide = torch.randint(0, 1000, (count,))
    return torch.where(torch.rand(count) < low, torch.randint(0, 300, (count,)), wide)


@torch.no_grad()
def denoise_once(unet: UNet2DModel, scheduler: DDPMScheduler, clean: Tensor, t: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noised and denoised images (one prediction of x0) at step t, all in [0, 1]."""
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    steps = torch.full((len(clean),), t)
    noisy = scheduler.add_noise(clean * 2 - 1, noise, steps)
    alpha = scheduler.alphas_cumprod[t]
    predicted = (noisy - (1 - alpha).sqrt() * unet(noisy, steps).sample) / alpha.sqrt()
    return (noisy / 2 + 0.5).clamp(0, 1), (predicted.clamp(-1, 1) / 2 + 0.5)


def psnr(a: Tensor, b: Tensor) -> np.ndarray:
    """Of each image, in decibels."""
    return (-10 * torch.log10((a - b).square().flatten(1).mean(1).clamp_min(1e-10))).numpy()


def export(unet: UNet2DModel, out: Path) -> None:
    DDPMPipeline(unet.to(torch.float16), build_scheduler()).save_pretrained(out)
    tidy(out)


def main() -> None:
    args = parse()
    setup(args)
    unet = build().to(memory_format=torch.channels_last)
    ema = Ema(unet, 0.998)
    optimizer = make_optimizer([unet], args.lr, 0.01, exclude=("conv_in", "conv_out"))
    run = Run("ddpm", args, {"unet": unet, "ema": ema, "optimizer": optimizer})
    if not args.export_only:
        train(args, run, unet, ema, optimizer)
    export(ema.module, args.out)
    run.write_facts()


def train(args: argparse.Namespace, run: Run, unet: UNet2DModel, ema: Ema, optimizer: torch.optim.Optimizer) -> None:
    pool = load_pool(args)
    scheduler = build_scheduler()
    print(f"{sum(p.numel() for p in unet.parameters()) / 1e6:.2f} M parameters, {len(pool)} images", flush=True)
    for _ in run.steps(optimizer, args.batch_size):
        rows = torch.randint(0, len(pool), (args.batch_size,)).numpy()
        clean = jitter_colour(unit_batch(pool, rows), 0.1)
        if torch.rand(()) < 0.5:
            clean = clean.flip(3)
        clean = (clean * 2 - 1).contiguous(memory_format=torch.channels_last)
        noise = torch.randn_like(clean)
        steps = draw_timesteps(args.batch_size, args.low_noise)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = unet(scheduler.add_noise(clean, noise, steps), steps).sample
        loss = (predicted.float() - noise).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        ema.update(unet)
        run.log(50, loss=loss.item())
    sample = unit_batch(pool, np.random.default_rng(0).integers(0, len(pool), 12))
    rows = [sample, *(image for t in (50, 100, 200) for image in denoise_once(ema.module, scheduler, sample, t))]
    contact_sheet(rows, args.work / "ddpm" / "denoised.png")


if __name__ == "__main__":
    main()
