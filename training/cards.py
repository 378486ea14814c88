"""Model cards: README.md of each model folder, from quality.json and the training.json of each run."""

import argparse
import json
from pathlib import Path

from common import ROOT

SCENES = (
    "20,000 synthetic scenes of 64 x 64 pixels made by `kintsugi scenes --count 20000 --seed 1` (24 COCO categories, "
    "2 to 8 objects a scene, glyphs of open emoji sets); the last 500 were held out for calibration"
)
LIMITS = (
    "A miniature: the architecture and the file formats are the real ones, the world is a toy. It knows 64 x 64 pixel "
    "scenes of emoji glyphs and {categories}. Use it to run, test and demonstrate the pipeline offline, not to judge "
    "photographs. Fresh scenes are new compositions of glyphs that training has seen, so the figures above are those of an easy "
    "task. It was not trained to resist attacks, and results with it say nothing about the size of an effect on real models."
)
CATEGORIES = "24 categories"

CARDS = {
    "mini-clip": dict(
        parts=["clip"],
        runs=["clip"],
        tags=["clip", "zero-shot-image-classification", "onnx"],
        pipeline="zero-shot-image-classification",
        title="a small CLIP for zero-shot, multi-label classification",
        about="""`CLIPModel`: vision tower with patch 8, width 160, 5 layers (1.4 M parameters); text tower with width 128, 2
layers, at most 16 tokens, and a byte-level BPE of its own; embeddings of 128 dimensions. `onnx/vision_model.onnx` and
`onnx/text_model.onnx` give embeddings that are not normalised; the logit of a label is
`logit_scale * cos(image, text) + logit_bias` (both in `config.json`; sigmoid loss as in SigLIP), the prompt is
`a photo of a {label}`. `thresholds.json` holds the logit of each label that maximised F1 on the held-out training scenes.
Training used a second, dense loss that compares each patch with the prompts; it is not part of the exported model.""",
        commands=["python clip.py --train DATA"],
        limits=CATEGORIES,
    ),
    "mini-yolos": dict(
        parts=["yolos"],
        runs=["yolos"],
        tags=["yolos", "object-detection", "onnx"],
        pipeline="object-detection",
        title="a small YOLOS detector",
        about="""`YolosForObjectDetection`: patch 8, width 160, 5 layers, 16 detection tokens (1.5 M parameters). The encoder started
from mini-clip's vision tower. Hungarian matching and the losses of DETR; half of the training images carried pixel noise
(uniform or sign, up to 0.06), so that boxes survive perturbed images. `onnx/model.onnx`: `pixel_values` to `logits` and
`pred_boxes` (cx, cy, w, h in 0..1).""",
        commands=["python clip.py --train DATA", "python yolos.py --train DATA"],
        limits=CATEGORIES,
    ),
    "mini-inpaint": dict(
        parts=["vae", "inpaint"],
        runs=["vae", "inpaint"],
        tags=["diffusers", "stable-diffusion-inpainting", "image-to-image"],
        pipeline="image-to-image",
        title="a small Stable Diffusion inpainting pipeline",
        about="""A diffusers folder that `StableDiffusionInpaintPipeline` runs as it is: `AutoencoderTiny` with one downsampling (64 x 64 x
3 to 32 x 32 x 4), `UNet2DConditionModel` with 9 input channels (7.1 M parameters, attention at 16 x 16 and 8 x 8), the text
encoder of mini-clip (frozen), `DDIMScheduler` with v-prediction, zero terminal SNR and trailing timesteps. Weights are float16.
Masks in training: boxes of objects grown by 0 to 4 pixels, random boxes, 8 % the whole image;
10 % empty prompts. Half of the conditioning images carried pixel noise of up to 0.1 while the target stayed clean, because
purifiers repaint inside attacked images.

Recognised means: mini-clip's logit of the object's label lies above its threshold; one object a scene whose category occurs
there once, repainted inside its box (UNet in bfloat16), the rest of the picture kept. Guidance 7.5 exaggerates colours and
texture, which mini-clip likes (hence a ratio above one); guidance 3 to 5 looks calmer and was recognised in 89 and 93 % of 100
objects (originals: 86 %). Zebras and bicycles come out as their texture rather than as their shape.""",
        commands=[
            "python clip.py --train DATA",
            "python vae.py --train DATA --out work/vae",
            "python inpaint.py --train DATA --vae work/vae",
        ],
        limits=CATEGORIES,
    ),
    "mini-ddpm": dict(
        parts=["ddpm"],
        runs=["ddpm"],
        tags=["diffusers", "ddpm", "unconditional-image-generation"],
        pipeline="unconditional-image-generation",
        title="a small unconditional diffusion model",
        about="""A diffusers folder: `UNet2DModel` without attention (1.4 M parameters, fully convolutional: it also runs on larger
canvases, 26 GFLOP at 416 x 416), `DDPMScheduler` with 1,000 linear steps, epsilon prediction, float16 weights. Trained for
denoising at low noise (60 % of the samples below t = 300), where diffusion purifiers work; it is a poor generator.
The first 15 minutes saw crops of photographs only, the rest both.""",
        commands=["python ddpm.py --train DATA --photos PHOTOGRAPHS"],
        limits="small crops of photographs",
        extra_data="; and 20,000 random crops of 176 COCO photographs (train2017), at scales from full resolution to the whole "
        "short side. The photographs are under their own licences and are not part of this repository",
    ),
    "mini-taesd": dict(
        parts=["taesd"],
        runs=["taesd"],
        tags=["diffusers", "autoencoder"],
        pipeline="image-to-image",
        title="a smaller autoencoder for the latents of mini-inpaint",
        about="""What TAESD is to Stable Diffusion: an `AutoencoderTiny` in place of the pipeline's own (`vae: mini-taesd`). One downsampling,
24 channels instead of 40, 5 blocks instead of 7, float16. Its latents are those of `models/mini-inpaint/vae` times that
one's scaling factor, so its own factor is 1. It was distilled from that autoencoder, which is a small `AutoencoderTiny`
itself: so it saves less than TAESD does, whose teacher is an `AutoencoderKL`. How much: `docs/diffusion.md`.""",
        commands=["python taesd.py --train DATA --threads 2"],
        limits=CATEGORIES,
    ),
}


def table(rows: list[dict]) -> str:
    lines = ["| measure | value | 95 % interval | n |", "|---|---|---|---|"]
    for row in rows:
        low_high = f"{row['interval'][0]:.3f} .. {row['interval'][1]:.3f}" if row["interval"] else ""
        lines.append(f"| {row['measure']} | {row['value']:.3f} | {low_high} | {row['n']} |")
    return "\n".join(lines)


def card(name: str, spec: dict, rows: list[dict], work: Path) -> str:
    head = ["---", "license: apache-2.0", "language: en", f"pipeline_tag: {spec['pipeline']}", "tags:"]
    head += [f"- {tag}" for tag in spec["tags"]] + ["---"]
    facts = [(run, json.loads((work / run / "training.json").read_text())) for run in spec["runs"]]
    spent = [f"`{run}.py`: {f['minutes']:g} minutes, {f['steps']:,} steps, {f['samples']:,} samples" for run, f in facts]
    mine = [row for row in rows if row["part"] in spec["parts"]]
    stamp = f"Measured {mine[0]['date']} on {mine[0]['cores']} CPU cores with `training/evaluate.py`" if mine else "Not measured yet"
    return "\n".join(
        [
            *head,
            f"# {name}: {spec['title']}",
            "",
            spec["about"],
            "",
            "## Data",
            "",
            SCENES + spec.get("extra_data", "") + ".",
            "",
            "## Training",
            "",
            "In `training/`, on one or two shared CPU cores, bfloat16 autocast, Muon and AdamW, exponential moving average:",
            "",
            *(f"    {command}" for command in spec["commands"]),
            "",
            "; ".join(spent) + ".",
            "",
            "## Measured quality",
            "",
            f"{stamp}, on 500 fresh scenes (`kintsugi scenes --count 500 --seed 2`) unless a row says otherwise; bootstrap intervals.",
            "",
            table(mine),
            "",
            "## Limitations",
            "",
            LIMITS.format(categories=spec["limits"]),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of the exported models")
    parser.add_argument("--work", type=Path, default=ROOT / "training/work", help="where the trainers kept training.json")
    parser.add_argument("--only", nargs="+", choices=list(CARDS), default=list(CARDS), help="cards to write")
    args = parser.parse_args()
    quality = json.loads((args.models / "quality.json").read_text())
    for name in args.only:
        spec = CARDS[name]
        text = card(name, spec, quality.get(name, {}).get("rows", []), args.work)
        (args.models / name / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
