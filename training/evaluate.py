"""Measures the exported models on fresh scenes and photographs: one table, as JSON and as Markdown.

Each part measures one model and needs only the exported files; parts that are not measured keep their last rows.
"""

import argparse
import datetime
import json
import math
import os
from pathlib import Path

import numpy as np
import onnx
import torch
from safetensors import safe_open

from common import ROOT, setup, write_json
from data import load_scenes
from measure import ddpm_rows, inpaint_rows, taesd_rows, vae_rows
from measure_onnx import clip_rows, yolos_rows

PARTS = {
    "clip": clip_rows,
    "vae": vae_rows,
    "inpaint": inpaint_rows,
    "yolos": yolos_rows,
    "ddpm": ddpm_rows,
    "taesd": taesd_rows,
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of the exported models")
    parser.add_argument("--fresh", type=Path, default=ROOT / "training/work/data/fresh", help="COCO folder of fresh scenes")
    parser.add_argument("--photos", type=Path, help="folder of photographs (the held-out ones are measured)")
    parser.add_argument("--held-out-photos", type=int, default=30, help="as in ddpm.py")
    parser.add_argument("--work", type=Path, default=ROOT / "training/work", help="caches and pictures")
    parser.add_argument("--out", type=Path, help="folder for quality.json and quality.md; the models' folder by default")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts to measure")
    parser.add_argument("--objects", type=int, default=500, help="objects to inpaint, at most one a scene")
    parser.add_argument("--steps", type=int, default=20, help="DDIM steps")
    parser.add_argument("--guidance", type=float, default=7.5, help="classifier-free guidance scale")
    parser.add_argument("--bf16", action="store_true", help="run the UNet in bfloat16 (faster)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--seed", type=int, default=0, help="of noise and of the choice of objects")
    return parser.parse_args()


def markdown(rows: list[dict]) -> str:
    lines = ["| model | measure | value | 95 % interval | n | target | reached |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        interval = f"{row['interval'][0]:.3f} .. {row['interval'][1]:.3f}" if row.get("interval") else ""
        reached = {True: "yes", False: "no", None: ""}[row.get("reached")]
        cells = [row["model"], row["measure"], f"{row['value']:.3f}", interval, str(row["n"]), row.get("target", ""), reached]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def count_parameters(folder: Path) -> int:
    """Of all .safetensors and .onnx files below a model's folder."""
    total = 0
    for path in folder.rglob("*.safetensors"):
        with safe_open(path, "pt") as weights:
            total += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())
    for path in folder.rglob("*.onnx"):
        total += sum(math.prod(w.dims) for w in onnx.load(path).graph.initializer if w.data_type == onnx.TensorProto.FLOAT)
    return total


def by_model(rows: list[dict], models: Path, scenes: int) -> dict:
    """What `models/quality.json` holds under each model's name."""
    result: dict[str, dict] = {}
    for name in dict.fromkeys(row["model"].split()[0] for row in rows):
        mine = [row for row in rows if row["model"].split()[0] == name]
        headline = [row for row in mine if row["target"]] or [row for row in mine if "denoised" in row["measure"]]
        result[name] = {
            "parameters": count_parameters(models / name),
            "on": f"{scenes} fresh scenes" if any(row["target"] for row in mine) else "fresh scenes and held-out photographs",
            "measured": {row["measure"]: round(row["value"], 4) for row in headline},
            "rows": mine,
        }
    return result


def main() -> None:
    args = parse()
    setup(args)
    out = args.out or args.models
    names = list(json.loads((args.models / "mini-clip/thresholds.json").read_text())["thresholds"])
    scenes = load_scenes(args.fresh, args.work / "cache", names)
    path = out / "quality.json"
    old = [row for model in json.loads(path.read_text()).values() for row in model["rows"]] if path.exists() else []
    rows = []
    for part, measure in PARTS.items():
        if part in args.only:
            stamp = {"date": datetime.datetime.now(datetime.UTC).date().isoformat(), "cores": os.cpu_count()}
            rows += [{"part": part, **row, **stamp} for row in measure(args, scenes)]
        else:
            rows += [row for row in old if row["part"] == part]
    write_json(path, by_model(rows, args.models, len(scenes)))
    table = markdown(rows)
    (out / "quality.md").write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    torch.set_grad_enabled(False)
    main()
