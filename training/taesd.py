"""mini-taesd: a smaller autoencoder for the latents of mini-inpaint, distilled from its own.

The student learns the teacher's latents times their scaling factor, so its own factor is 1, as that of TAESD. The
encoder minimises the squared error of the latents; the decoder sees the teacher's latents, a little disturbed, and
minimises L1 and squared error of the pixels. The budget is a number of steps (`--steps`).
"""

import argparse

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from common import ROOT, Ema, Run, base_parser, contact_sheet, setup, tidy
from data import jitter_colour, load_scenes, pixel_noise, split_rows, unit_batch
from muon import make_optimizer
from vae import round_trip


def parse() -> argparse.Namespace:
    parser = base_parser("Distil mini-taesd from the autoencoder of mini-inpaint.", "mini-taesd", steps=1400, batch_size=12, lr=1e-3)
    parser.add_argument("--teacher", default=ROOT / "models/mini-inpaint/vae", help="folder of the AutoencoderTiny to learn from")
    parser.add_argument("--latent-noise", type=float, default=0.05, help="standard deviation, in units of the latents")
    return parser.parse_args()


def build(teacher: AutoencoderTiny) -> AutoencoderTiny:
    """24 channels instead of 40, 5 blocks instead of 7; the same downsampling and latent channels."""
    levels = len(teacher.config.encoder_block_out_channels)
    return AutoencoderTiny(
        encoder_block_out_channels=(24,) * levels,
        decoder_block_out_channels=(24,) * levels,
        num_encoder_blocks=(0,) * (levels - 1) + (2,),
        num_decoder_blocks=(2,) * (levels - 1) + (1,),
        latent_channels=teacher.config.latent_channels,
        scaling_factor=1.0,
    )


def scaled_latents(vae: AutoencoderTiny, images: Tensor) -> Tensor:
    """Images in [0, 1] -> latents as a diffusion model sees them."""
    with torch.no_grad():
        parts = [vae.encode(part * 2 - 1).latents for part in images.split(64)]
    return torch.cat(parts) * vae.config.scaling_factor


def decode(vae: AutoencoderTiny, scaled: Tensor) -> Tensor:
    """Scaled latents -> images in [0, 1]."""
    with torch.no_grad():
        parts = [vae.decode(part / vae.config.scaling_factor).sample for part in scaled.split(64)]
    return (torch.cat(parts) / 2 + 0.5).clamp(0, 1)


def decibels(a: Tensor, b: Tensor) -> float:
    return float((-10 * torch.log10((a - b).square().flatten(1).mean(1))).mean())


def main() -> None:
    args = parse()
    setup(args)
    scenes = load_scenes(args.train, args.work / "cache")
    rows, held = split_rows(len(scenes))
    teacher = AutoencoderTiny.from_pretrained(args.teacher, torch_dtype=torch.float32).requires_grad_(False).eval()
    student = build(teacher).to(memory_format=torch.channels_last)
    ema = Ema(student, 0.998)
    optimizer = make_optimizer([student], args.lr, 0.0, exclude=("encoder.layers.0.", "decoder.layers.0."))
    run = Run("taesd", args, {"student": student, "ema": ema, "optimizer": optimizer})
    if not args.export_only:
        train(args, run, teacher, student, ema, optimizer, scenes.images, rows)
    ema.module.to(torch.float16).save_pretrained(args.out)
    tidy(args.out)
    stored = AutoencoderTiny.from_pretrained(args.out, torch_dtype=torch.float32)
    sample = unit_batch(scenes.images, held[:128])
    again, decoded = round_trip(stored, sample), decode(stored, scaled_latents(teacher, sample))
    contact_sheet([sample[:12], again[:12], decoded[:12], (sample - decoded)[:12] * 4 + 0.5], run.folder / "reconstructions.png")
    measured = {"psnr": decibels(sample, again), "psnr_of_teachers_latents": decibels(sample, decoded)}
    print(f"held out: round trip {measured['psnr']:.2f} dB, teacher's latents {measured['psnr_of_teachers_latents']:.2f} dB")
    run.write_facts(**measured)


def train(
    args: argparse.Namespace,
    run: Run,
    teacher: AutoencoderTiny,
    student: AutoencoderTiny,
    ema: Ema,
    optimizer: torch.optim.Optimizer,
    images: np.ndarray,
    rows: np.ndarray,
) -> None:
    factor = teacher.config.scaling_factor
    for _ in run.steps(optimizer, args.batch_size):
        batch = np.sort(rows[torch.randint(0, len(rows), (args.batch_size,)).numpy()])
        clean = jitter_colour(unit_batch(images, batch), 0.1)
        clean = pixel_noise(clean, 0.05, 0.1) if torch.rand(()) < 0.5 else clean.flip(3)
        clean = (clean * 2 - 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                target = teacher.encode(clean).latents.float() * factor
            encoded = student.encode(clean).latents.float()
            decoded = student.decode(target + torch.randn_like(target) * args.latent_noise).sample.float()
        latents, pixels = encoded - target, decoded - clean
        loss = latents.square().mean() + pixels.abs().mean() + 2 * pixels.square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        ema.update(student)
        psnr = -10 * np.log10(pixels.detach().square().mean().item() / 4 + 1e-10)
        run.log(50, loss=loss.item(), latents=latents.detach().square().mean().item(), psnr=float(psnr))


if __name__ == "__main__":
    main()
