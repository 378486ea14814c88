"""mini-inpaint, mini-taesd and mini-ddpm, measured with diffusers on the exported folders."""

import argparse
import contextlib
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, DDPMScheduler, StableDiffusionInpaintPipeline, UNet2DModel
from torch import Tensor

from common import bootstrap, contact_sheet
from data import Scenes, photo_crops, photographs
from ddpm import denoise_once, psnr
from masks import draw_masks
from measure_onnx import MiniClip, row, top_is_true, unit_images
from prompts import TEMPLATE
from taesd import decode, scaled_latents
from vae import round_trip


def vae_rows(args: argparse.Namespace, scenes: Scenes) -> list[dict]:
    clip, images = MiniClip(args.models / "mini-clip"), unit_images(scenes)
    vae = AutoencoderTiny.from_pretrained(args.models / "mini-inpaint/vae", torch_dtype=torch.float32)
    again = round_trip(vae, torch.as_tensor(images))
    decibels = psnr(torch.as_tensor(images), again)
    before = top_is_true(clip.logits(images), scenes.labels)
    after = top_is_true(clip.logits(again.numpy()), scenes.labels)
    loss, n = before - after, len(images)
    return [
        row("mini-inpaint vae", "round trip PSNR, dB", decibels.mean(), n, bootstrap(decibels)),
        row("mini-inpaint vae", "P@1 lost by a round trip", loss.mean(), n, bootstrap(loss), "<= 0.02", bool(loss.mean() <= 0.02)),
    ]


def taesd_rows(args: argparse.Namespace, scenes: Scenes) -> list[dict]:
    """The student alone, and each of its halves with the other half of the teacher."""
    clip, images = MiniClip(args.models / "mini-clip"), unit_images(scenes)
    folders = {"student": args.models / "mini-taesd", "teacher": args.models / "mini-inpaint/vae"}
    vaes = {name: AutoencoderTiny.from_pretrained(folder, torch_dtype=torch.float32) for name, folder in folders.items()}
    original, n = torch.as_tensor(images), len(images)
    latents = {name: scaled_latents(vae, original) for name, vae in vaes.items()}
    error = (latents["student"] - latents["teacher"]).square().flatten(1).mean(1).sqrt().numpy()
    again = decode(vaes["student"], latents["student"])
    pairs = {
        "round trip PSNR, dB": again,
        "PSNR of the teacher's latents, decoded by it, dB": decode(vaes["student"], latents["teacher"]),
        "PSNR of its latents, decoded by the teacher, dB": decode(vaes["teacher"], latents["student"]),
    }
    rows = []
    for measure, decoded in pairs.items():
        decibels = psnr(original, decoded)
        rows.append(row("mini-taesd", measure, decibels.mean(), n, bootstrap(decibels)))
    loss = top_is_true(clip.logits(images), scenes.labels) - top_is_true(clip.logits(again.numpy()), scenes.labels)
    return [
        *rows,
        row("mini-taesd", "distance of its latents (of variance 1) from the teacher's", error.mean(), n, bootstrap(error)),
        row("mini-taesd", "P@1 lost by a round trip", loss.mean(), n, bootstrap(loss), "<= 0.02", bool(loss.mean() <= 0.02)),
    ]


def choose_objects(scenes: Scenes, count: int, seed: int) -> np.ndarray:
    """One object a scene whose category occurs there once."""
    rng, chosen = np.random.default_rng(seed), []
    for objects in scenes.objects():
        classes = scenes.classes[objects]
        single = [o for o, c in zip(objects, classes, strict=True) if (classes == c).sum() == 1]
        if single:
            chosen.append(rng.choice(single))
    return np.array(chosen[:count])


def repaint(pipe: StableDiffusionInpaintPipeline, images: Tensor, masks: Tensor, prompts: list[str], args: argparse.Namespace) -> Tensor:
    """Images with the inside of the mask repainted and the outside kept, all in [0, 1]."""
    parts = []
    for k in range(0, len(images), 50):
        context = torch.autocast("cpu", torch.bfloat16) if args.bf16 else contextlib.nullcontext()
        with context:
            result = pipe(
                prompt=prompts[k : k + 50],
                image=images[k : k + 50] * 2 - 1,
                mask_image=masks[k : k + 50],
                height=images.shape[2],
                width=images.shape[3],
                strength=1.0,
                num_inference_steps=args.steps,
                guidance_scale=args.guidance,
                generator=torch.Generator().manual_seed(args.seed + k),
                output_type="pt",
            ).images
        parts.append(result.float())
    painted = torch.cat(parts)
    return painted * masks + images * (1 - masks)


def inpaint_rows(args: argparse.Namespace, scenes: Scenes) -> list[dict]:
    clip = MiniClip(args.models / "mini-clip")
    pipe = StableDiffusionInpaintPipeline.from_pretrained(args.models / "mini-inpaint", torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    objects = choose_objects(scenes, args.objects, args.seed)
    owners, classes = scenes.owner[objects], scenes.classes[objects]
    images = torch.as_tensor(unit_images(scenes)[owners])
    corners = [(int(x), int(y), int(x + w), int(y + h)) for x, y, w, h in scenes.boxes[objects]]
    masks = draw_masks(corners, images.shape[2])
    labels = [scenes.names[c] for c in classes]
    variants = {
        "original": images,
        "own label": repaint(pipe, images, masks, [TEMPLATE.format(label=label) for label in labels], args),
        "empty prompt": repaint(pipe, images, masks, [""] * len(images), args),
    }
    known = {name: recognised(clip, x, classes) for name, x in variants.items()}
    contact_sheet([x[:16] for x in (images, images * (1 - masks), *list(variants.values())[1:])], args.work / "inpaint" / "repainted.png")
    print("label of the pictures:", ", ".join(labels[:16]))
    pairs, n = np.stack([known["own label"], known["original"]], 1), len(images)

    def ratio(x: np.ndarray) -> float:
        return float(x[:, 0].mean() / x[:, 1].mean())

    empty, settings = known["empty prompt"], f"{args.steps} DDIM steps, guidance {args.guidance:g}"
    return [
        row("mini-inpaint", "recognised, original", known["original"].mean(), n, bootstrap(known["original"])),
        row("mini-inpaint", f"recognised, own label ({settings})", known["own label"].mean(), n, bootstrap(known["own label"])),
        row("mini-inpaint", "own label / original", ratio(pairs), n, bootstrap(pairs, ratio), ">= 0.85", ratio(pairs) >= 0.85),
        row("mini-inpaint", "recognised, empty prompt", empty.mean(), n, bootstrap(empty), "<= 0.10", bool(empty.mean() <= 0.1)),
    ]


def recognised(clip: MiniClip, images: Tensor, classes: np.ndarray) -> np.ndarray:
    logits = clip.logits(images.numpy())
    return (logits > clip.thresholds)[np.arange(len(classes)), classes].astype(float)


def ddpm_rows(args: argparse.Namespace, scenes: Scenes) -> list[dict]:
    folder: Path = args.models / "mini-ddpm"
    unet = UNet2DModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
    scheduler = DDPMScheduler.from_pretrained(folder / "scheduler")
    sets = {"scenes": torch.as_tensor(unit_images(scenes)[:200])}
    if args.photos is not None:
        held_out = photographs(args.photos)[-args.held_out_photos :]
        crops = photo_crops(held_out, 180, 64, np.random.default_rng(args.seed))
        sets["held-out photographs"] = torch.as_tensor(crops.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    rows, pictures = [], []
    for name, images in sets.items():
        for t in (50, 100):
            noisy, clean = denoise_once(unet, scheduler, images, t)
            before, after = psnr(images, noisy), psnr(images, clean)
            pictures += [images[:12], noisy[:12], clean[:12]]
            rows.append(row("mini-ddpm", f"PSNR noised, t = {t}, {name}, dB", before.mean(), len(images), bootstrap(before)))
            rows.append(row("mini-ddpm", f"PSNR denoised, t = {t}, {name}, dB", after.mean(), len(images), bootstrap(after)))
    contact_sheet(pictures, args.work / "ddpm" / "measured.png")
    return rows
