"""The autoencoder of mini-inpaint: an AutoencoderTiny with one downsampling, 64 x 64 x 3 -> 32 x 32 x 4.

Loss: L1 and squared error of the pixels, and optionally the distance of mini-clip's patch embeddings. Latents are
disturbed a little during training, so that the decoder forgives what the diffusion model leaves.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from torch import Tensor

from clip_teacher import load_teacher
from common import Ema, Run, base_parser, contact_sheet, setup, tidy
from data import jitter_colour, load_scenes, pixel_noise, split_rows, unit_batch
from muon import make_optimizer


def parse() -> argparse.Namespace:
    parser = base_parser("Train the autoencoder of mini-inpaint.", "mini-inpaint/vae", minutes=8, batch_size=24, lr=1e-3)
    parser.add_argument("--perceptual", type=float, default=0.1, help="weight of mini-clip's distance, 0 turns it off")
    parser.add_argument("--latent-noise", type=float, default=0.05, help="standard deviation, in units of the latents")
    return parser.parse_args()


def build() -> AutoencoderTiny:
    return AutoencoderTiny(
        encoder_block_out_channels=(40, 40),
        decoder_block_out_channels=(40, 40),
        num_encoder_blocks=(0, 3),
        num_decoder_blocks=(3, 1),
        latent_channels=4,
        scaling_factor=1.0,
    )


def latent_statistics(vae: AutoencoderTiny, images: np.ndarray) -> Tensor:
    with torch.no_grad():
        return vae.encode(unit_batch(images, np.arange(len(images))) * 2 - 1).latents


def round_trip(vae: AutoencoderTiny, images: Tensor) -> Tensor:
    """[0, 1] -> [0, 1], in batches."""
    with torch.no_grad():
        parts = [vae.decode(vae.encode(part * 2 - 1).latents).sample for part in images.split(64)]
    return (torch.cat(parts) / 2 + 0.5).clamp(0, 1)


def export(vae: AutoencoderTiny, images: np.ndarray, out: Path) -> float:
    """Records the scaling factor that gives latents unit variance."""
    factor = 1 / float(latent_statistics(vae, images).std())
    vae.register_to_config(scaling_factor=factor)
    vae.to(torch.float32).save_pretrained(out)
    tidy(out)
    return factor


def main() -> None:
    args = parse()
    setup(args)
    scenes = load_scenes(args.train, args.work / "cache")
    rows, held = split_rows(len(scenes))
    vae = build().to(memory_format=torch.channels_last)
    ema = Ema(vae, 0.998)
    optimizer = make_optimizer([vae], args.lr, 0.0, exclude=("encoder.layers.0.", "decoder.layers.0."))
    run = Run("vae", args, {"vae": vae, "ema": ema, "optimizer": optimizer})
    if not args.export_only:
        train(args, run, vae, ema, optimizer, scenes.images, rows)
    sample = unit_batch(scenes.images, held[:128])
    again = round_trip(ema.module, sample)
    psnr = float((-10 * torch.log10((sample - again).square().flatten(1).mean(1))).mean())
    factor = export(ema.module, scenes.images[held[:256]], args.out)
    contact_sheet([sample[:12], again[:12], (sample - again)[:12] * 4 + 0.5], args.work / "vae" / "reconstructions.png")
    print(f"held out: {psnr:.2f} dB, scaling factor {factor:.4f}")
    run.write_facts(psnr=psnr)


def train(args: argparse.Namespace, run: Run, vae: AutoencoderTiny, ema: Ema, optimizer, images: np.ndarray, rows: np.ndarray) -> None:
    teacher = load_teacher(args.work / "clip" / "model") if args.perceptual > 0 else None
    for _ in run.steps(optimizer, args.batch_size):
        batch = np.sort(rows[torch.randint(0, len(rows), (args.batch_size,)).numpy()])
        clean = jitter_colour(unit_batch(images, batch), 0.1)
        clean = pixel_noise(clean, 0.05, 0.1) if torch.rand(()) < 0.5 else clean.flip(3)
        clean = (clean * 2 - 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            latents = vae.encode(clean).latents.float()
            noise = torch.randn_like(latents) * latents.detach().std() * args.latent_noise
            decoded = vae.decode(latents + noise).sample.float()
        difference = decoded - clean
        loss = difference.abs().mean() + 2 * difference.square().mean() + 1e-3 * F.relu(latents.abs() - 3).mean()
        if teacher is not None and run.progress > 0.3:
            with torch.autocast("cpu", torch.bfloat16):
                target = teacher(clean).detach()
                loss = loss + args.perceptual * (teacher(decoded) - target).float().square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        ema.update(vae)
        psnr = -10 * np.log10(difference.detach().square().mean().item() / 4 + 1e-10)
        run.log(50, loss=loss.item(), psnr=float(psnr))


if __name__ == "__main__":
    main()
