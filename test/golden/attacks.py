"""Writes attacks.json: what torchattacks and Foolbox make of four images with tiny-cnn.onnx, without random starts.

Needs torch, onnx, numpy, torchattacks 3.5.1 and foolbox 3.3.4 (CPU). Run it in this folder.
Each run also stores the smallest |d loss / d pixel| over its steps, in units of that step's mean |gradient|:
where it is almost zero, rounding decides the sign of a step and two correct programs may differ.
"""

import base64
import json

import foolbox
import numpy as np
import torch
import torchattacks
from tiny_cnn import LABELS, TinyCnn, images, packed

torch.manual_seed(0)
torch.set_num_threads(1)

model = TinyCnn().eval()
x = images(4)
y = model(x).argmax(1)
target = model(x).argsort(1)[:, 0]
runs = []


def record(library, spec, attack):
    model.smallest = []
    adversarial = attack()
    smallest = torch.stack(model.smallest).amin(0)
    model.smallest = None
    runs.append({"library": library, "spec": spec, "x": packed(adversarial), "smallest": packed(smallest, np.float16)})


def torchattack(spec, attack, targeted=False):
    if targeted:
        attack.set_mode_targeted_by_label(quiet=True)
    record("torchattacks", spec, lambda: attack(x, target if targeted else y))


def foolbox_run(spec, attack):
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    criterion = foolbox.criteria.Misclassification(y)
    record("foolbox", spec, lambda: attack(wrapped, x, criterion, epsilons=spec["epsilon"])[1])


ta = {"preset": "torchattacks"}
least = {"target": "least-likely"}
torchattack({**ta, "name": "fgsm"}, torchattacks.FGSM(model))
torchattack({**ta, **least, "name": "fgsm"}, torchattacks.FGSM(model), True)
torchattack({**ta, "name": "pgd", "start": "clean"}, torchattacks.PGD(model, random_start=False))
torchattack({**ta, **least, "name": "pgd", "start": "clean"}, torchattacks.PGD(model, random_start=False), True)
torchattack({**ta, "name": "pgd", "norm": "l2", "start": "clean"}, torchattacks.PGDL2(model, random_start=False))
torchattack(
    {"preset": "paper", "labels": "best-true", "name": "pgd", "start": "clean"},
    torchattacks.PGD(model, eps=0.1, alpha=0.01, steps=40, random_start=False),
)
fb = {"preset": "foolbox"}
foolbox_run({**fb, "name": "fgsm", "epsilon": 0.03}, foolbox.attacks.LinfFastGradientAttack())
foolbox_run({**fb, "name": "pgd", "start": "clean", "epsilon": 0.03}, foolbox.attacks.LinfPGD(random_start=False))
foolbox_run({**fb, "name": "pgd", "norm": "l2", "start": "clean", "epsilon": 0.5}, foolbox.attacks.L2PGD(random_start=False))

data = {"labels": LABELS, "y": y.tolist(), "pixels": packed((x * 255).round(), np.uint8), "dims": list(x.shape), "runs": runs}
with open("attacks.json", "w") as file:
    json.dump(data, file, indent=1)
    file.write("\n")
for run in runs:
    adversarial = torch.from_numpy(np.frombuffer(base64.b64decode(run["x"]), np.float32).reshape(x.shape).copy())
    changed = (model(adversarial).argmax(1) != y).float().mean().item()
    near = np.frombuffer(base64.b64decode(run["smallest"]), np.float16)
    print(run["library"], run["spec"], "changed", changed, "smallest", near.min(), (near < 1e-4).mean())
