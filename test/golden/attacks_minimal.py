"""Writes attacks_minimal.json: what torchattacks, Foolbox and ART make of four images with tiny-cnn.onnx, without random starts.

Needs torch, onnx, numpy, torchattacks 3.5.1, foolbox 3.3.4 and adversarial-robustness-toolbox 1.20.1 (CPU). Run it in this folder.

The images have strong contrast: many of their pixels are 0 or 1. With them it matters which labels DeepFool considers (10 and 28
of the 160 drawn) and what its overshoot lengthens (28, 75 and 130).
Foolbox returns a black image where Carlini's attack fails and we the clean one, so it is asked for what it can reach. That attack
runs image by image, for its early end judges the whole batch in both libraries. torchattacks' margin mistakes masked logits for zeros
(Harry24k/adversarial-attacks-pytorch issue 184): a constant added to all logits keeps its attack what it is meant to be.
"margin" is what the literature on CLIP calls CW: PGD on -relu(z_y - max_other + 50).
`undecided` lists the pixels at which, in some step, the gradient was smaller than UNDECIDED of its mean size: rounding
decides the sign there and two correct programs may differ.
"""

import json

import foolbox
import numpy as np
import torch
import torchattacks
from art.attacks.evasion import DeepFool, FastGradientMethod, ProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier
from tiny_cnn import LABELS, TinyCnn, images, packed

torch.manual_seed(0)
torch.set_num_threads(1)

model = TinyCnn().eval()
x = (((images(160)[[10, 28, 75, 130]] - 0.5) * 3 + 0.5).clamp(0, 1) * 255).round() / 255
clean = model(x)
y = clean.argmax(1)
target = clean.argsort(1)[:, 0]
runs = []

UNDECIDED = 1e-4


class Shifted(torch.nn.Module):
    def forward(self, x):
        return model(x) + 100


def record(library, spec, attack, sign=False, statistics=False):
    model.smallest = [] if sign else None
    adversarial = attack()
    undecided = torch.nonzero(torch.stack(model.smallest).amin(0).flatten() < UNDECIDED).flatten().tolist() if sign else []
    model.smallest = None
    changed = model(adversarial).argmax(1) != y
    l2 = (adversarial - x).flatten(1).norm(dim=1)
    result = {"l2": [round(v, 5) for v in l2.tolist()]} if statistics else {"x": packed(adversarial), "undecided": undecided}
    runs.append({"library": library, "spec": spec, **result})
    print(library, spec, "changed", changed.tolist(), "L2", [f"{v:.4f}" for v in l2], "undecided", len(undecided))


def one_by_one(attack):
    return torch.cat([attack(x[n : n + 1], slice(n, n + 1)) for n in range(len(x))])


def torchattack(spec, make, targeted=False, **options):
    def run(images, part):
        attack = make(Shifted())
        if targeted:
            attack.set_mode_targeted_by_label(quiet=True)
        return attack(images, (target if targeted else y)[part]).detach()

    record("torchattacks", {"preset": "torchattacks", **spec}, lambda: one_by_one(run), **options)


def foolbox_run(spec, attack, targeted=False, **options):
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")

    def run(images, part):
        criterion = (
            foolbox.criteria.TargetedMisclassification(target[part]) if targeted else foolbox.criteria.Misclassification(y[part])
        )
        return attack(wrapped, images, criterion, epsilons=None)[0]

    record("foolbox", {"preset": "foolbox", **spec}, lambda: one_by_one(run), **options)


def art_run(spec, make, **options):
    classifier = PyTorchClassifier(model, torch.nn.CrossEntropyLoss(), (3, 16, 16), 10, clip_values=(0, 1), device_type="cpu")
    record("art", {"preset": "art", **spec}, lambda: torch.from_numpy(make(classifier).generate(x.numpy())), **options)


def margin_pgd(eps, alpha, steps):
    delta = torch.zeros_like(x)
    for _ in range(steps):
        delta.requires_grad_(True)
        z = model(x + delta)
        own = z.gather(1, y[:, None])[:, 0]
        other = z.scatter(1, y[:, None], -torch.inf).amax(1)
        gradient = torch.autograd.grad(-torch.relu(own - other + 50).sum(), delta)[0]
        delta = (delta.detach() + alpha * gradient.sign()).clamp(-eps, eps)
        delta = (x + delta).clamp(0, 1) - x
    return (x + delta).detach()


least = {"target": "least-likely"}
cw, deepfool = {"name": "cw"}, {"name": "deepfool"}
torchattack(cw, lambda m: torchattacks.CW(m))
torchattack({**cw, "learningRate": 0.5}, lambda m: torchattacks.CW(m, lr=0.5))
torchattack({**cw, **least, "c": 5, "kappa": 1}, lambda m: torchattacks.CW(m, c=5, kappa=1), True)
torchattack(deepfool, lambda m: torchattacks.DeepFool(m))

CW = foolbox.attacks.L2CarliniWagnerAttack
foolbox_run({**cw, "steps": 20, "c": 1}, CW(steps=20, initial_const=1))
foolbox_run({**cw, "steps": 30, "c": 1, "kappa": 2}, CW(steps=30, initial_const=1, confidence=2))
foolbox_run({**cw, "steps": 20, "c": 1, "learningRate": 0.1}, CW(steps=20, initial_const=1, stepsize=0.1))
foolbox_run({**cw, **least, "steps": 40, "c": 1}, CW(steps=40, initial_const=1), True)
foolbox_run({**cw, "steps": 1000}, CW(steps=1000), statistics=True)
foolbox_run(deepfool, foolbox.attacks.L2DeepFoolAttack())
foolbox_run({**deepfool, "candidates": 3, "norm": "linf"}, foolbox.attacks.LinfDeepFoolAttack(candidates=3))

ART_PGD = {"eps": 0.03, "eps_step": 0.005, "max_iter": 10}
art_run({"name": "fgsm", "epsilon": 0.03}, lambda c: FastGradientMethod(c, eps=0.03), sign=True)
art_run({"name": "fgsm", "norm": "l2"}, lambda c: FastGradientMethod(c, norm=2))
art_run(
    {"name": "pgd", "epsilon": 0.03, "stepSize": 0.005, "steps": 10},
    lambda c: ProjectedGradientDescent(c, **ART_PGD, verbose=False),
    sign=True,
)
art_run({"name": "pgd", "norm": "l2"}, lambda c: ProjectedGradientDescent(c, norm=2, verbose=False))
art_run(deepfool, lambda c: DeepFool(c, verbose=False))

record(
    "margin",
    {"name": "pgd", "loss": "margin", "start": "clean", "epsilon": 0.03, "stepSize": 0.005, "steps": 10},
    lambda: margin_pgd(0.03, 0.005, 10),
    sign=True,
)

with open("attacks_minimal.json", "w") as file:
    pixels = packed((x * 255).round(), np.uint8)
    json.dump({"labels": LABELS, "y": y.tolist(), "pixels": pixels, "dims": list(x.shape), "runs": runs}, file, indent=1)
    file.write("\n")
