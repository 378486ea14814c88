"""The torchattacks side of bench/attack-speed.ts: CLIP ViT-B/32 of real size with random weights, driven by lines on stdin.

"pgd", "cw" and "deepfool" run one attack on the batch and answer with one line of JSON.
Usage: python bench/attack-speed-torch.py FOLDER THREADS
"""

import importlib
import json
import sys
import time
from pathlib import Path

import torch
import torchattacks

grad = importlib.import_module("grad-torch")

ATTACKS = {
    "pgd": lambda model: torchattacks.PGD(model, eps=8 / 255, alpha=2 / 255, steps=40, random_start=False),
    "cw": lambda model: torchattacks.CW(model, c=10, kappa=20, steps=100, lr=0.001),
    "deepfool": lambda model: torchattacks.DeepFool(model, steps=50, overshoot=0.02),
}


def main(folder, threads):
    torch.set_num_threads(int(threads))
    folder = Path(folder)
    model = grad.make("clip", folder)
    x = grad.load(folder / "x.bin", grad.SHAPES["clip"])
    x = (x * 255).round() / 255
    with torch.no_grad():
        y = model(x).argmax(1)
    print(json.dumps({"ready": True, "version": torchattacks.__version__, "torch": torch.__version__}), flush=True)
    forwards = [0]
    model.register_forward_hook(lambda *_: forwards.__setitem__(0, forwards[0] + 1))
    for line in sys.stdin:
        attack = ATTACKS[line.strip()](model)
        forwards[0] = 0
        start = time.perf_counter()
        adversarial = attack(x, y)
        seconds = time.perf_counter() - start
        steps = forwards[0]
        with torch.no_grad():
            beaten = (model(adversarial).argmax(1) != y).sum().item()
        l2 = (adversarial - x).flatten(1).norm(dim=1).mean().item()
        print(json.dumps({"seconds": seconds, "steps": steps, "beaten": beaten, "l2": l2}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
