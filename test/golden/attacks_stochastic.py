"""Writes attacks_stochastic.json: success rates and mean distances of random attacks of torchattacks, Foolbox and ART on 200 images.

Needs torch, onnx, numpy, safetensors, torchattacks 3.5.1, foolbox 3.3.4 and adversarial-robustness-toolbox 1.20.1 (CPU). Run it in
this folder. The images are those of autoattack.safetensors, rounded to 8 bits, with the network's own labels; every attack runs with
five seeds, DIFGSM, which draws one view for all images, with sixty. Random numbers differ between programs, so only these statistics can agree.
"""

import json

import foolbox
import numpy as np
import torch
import torchattacks
from art.attacks.evasion import ProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier
from safetensors.torch import load_file
from tiny_cnn import LABELS, TinyCnn

torch.set_num_threads(2)
SEEDS = 5

model = TinyCnn().eval()
x = (load_file("autoattack.safetensors")["x"] * 255).round() / 255
y = model(x).argmax(1)
native = foolbox.PyTorchModel(model, bounds=(0, 1))
estimator = PyTorchClassifier(model, torch.nn.CrossEntropyLoss(), tuple(x.shape[1:]), len(LABELS), clip_values=(0, 1))


def by_foolbox(attack, epsilon):
    return lambda: attack(native, x, foolbox.criteria.Misclassification(y), epsilons=epsilon)[1]


def by_art(**options):
    labels = np.eye(len(LABELS), dtype=np.float32)[y.numpy()]
    attack = ProjectedGradientDescent(estimator, batch_size=len(x), verbose=False, **options)
    return lambda: torch.from_numpy(attack.generate(x.numpy(), labels))


EPSILON = 0.02
RUNS = [
    (
        "torchattacks: PGD",
        {"name": "pgd", "preset": "torchattacks", "epsilon": EPSILON, "stepSize": 0.005, "steps": 10},
        lambda: torchattacks.PGD(model, eps=EPSILON, alpha=0.005, steps=10, random_start=True)(x, y),
    ),
    (
        "torchattacks: PGDL2",
        {"name": "pgd", "preset": "torchattacks", "norm": "l2", "epsilon": 0.35, "stepSize": 0.1, "steps": 10},
        lambda: torchattacks.PGDL2(model, eps=0.35, alpha=0.1, steps=10, random_start=True)(x, y),
    ),
    (
        "torchattacks: DIFGSM",
        {"name": "di-fgsm", "preset": "torchattacks", "epsilon": EPSILON, "stepSize": 0.004, "steps": 10},
        lambda: torchattacks.DIFGSM(model, eps=EPSILON, alpha=0.004, steps=10)(x, y),
    ),
    (
        "foolbox: LinfPGD",
        {"name": "pgd", "preset": "foolbox", "epsilon": EPSILON, "stepSize": 0.002, "steps": 20},
        by_foolbox(foolbox.attacks.LinfPGD(abs_stepsize=0.002, steps=20), EPSILON),
    ),
    (
        "foolbox: L2PGD",
        {"name": "pgd", "preset": "foolbox", "norm": "l2", "epsilon": 0.35, "stepSize": 0.05, "steps": 20},
        by_foolbox(foolbox.attacks.L2PGD(abs_stepsize=0.05, steps=20), 0.35),
    ),
    (
        "art: ProjectedGradientDescent, one random start",
        {"name": "pgd", "preset": "art", "start": "uniform", "epsilon": EPSILON, "stepSize": 0.004, "steps": 10},
        by_art(eps=EPSILON, eps_step=0.004, max_iter=10, num_random_init=1),
    ),
]


def measure(attack):
    adversarial = attack().detach()
    change = (adversarial - x).flatten(1)
    fooled = model(adversarial).argmax(1) != y
    return fooled.float().mean().item(), change.norm(dim=1).mean().item(), change.abs().mean().item()


rows = []
for library, spec, attack in RUNS:
    results = []
    for seed in range(60 if "DIFGSM" in library else SEEDS):
        torch.manual_seed(seed)
        np.random.seed(seed)
        results.append([round(v, 6) for v in measure(attack)])
    success, l2, l1 = zip(*results)
    rows.append({"library": library, "spec": spec, "success": success, "l2": l2, "meanAbsolute": l1})
    print(library, np.mean(success), np.std(success), np.mean(l2), np.mean(l1))

with open("attacks_stochastic.json", "w") as file:
    file.write(json.dumps(rows, indent="\t") + "\n")
