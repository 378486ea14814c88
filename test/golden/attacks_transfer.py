"""Writes attacks_transfer.json: MI-, DI- and TI-FGSM and BIM of torchattacks and L2 FGSM of Foolbox on four images with tiny-cnn.onnx.

Needs torch, onnx, numpy, torchattacks 3.5.1 and foolbox 3.3.4 (CPU). Run it in this folder.
The random draws of input diversity are stored, so that another program can use the same ones; torchattacks draws once for
the whole batch. `undecided` lists the pixels at which, in some step, the vector whose sign is taken was smaller than UNDECIDED
of its mean size: rounding decides its sign there and two correct programs may differ.
`views` holds small copies of one gradient-like image and their adjoints, from torch.autograd.
"""

import json

import foolbox
import numpy as np
import torch
import torch.nn.functional as F
import torchattacks
from tiny_cnn import LABELS, TinyCnn, images, packed, relative

torch.manual_seed(0)
torch.set_num_threads(1)

model = TinyCnn().eval()
x = images(4)
y = model(x).argmax(1)
target = model(x).argsort(1)[:, 0]

UNDECIDED = 1e-4

draws, smallest = [], []
randint, rand, sign = torch.randint, torch.rand, torch.Tensor.sign


def recorded_randint(low, high, size, **options):
    value = randint(low=low, high=high, size=size, **options)
    draws.append({"int": value.item() - low, "of": high - low})
    return value


def recorded_rand(*size):
    value = rand(*size)
    draws.append({"uniform": value.item()})
    return value


def recorded_sign(values):
    smallest.append(relative(values).detach())
    return sign(values)


def record(library, spec, attack):
    draws.clear()
    smallest.clear()
    torch.randint, torch.rand, torch.Tensor.sign = recorded_randint, recorded_rand, recorded_sign
    try:
        adversarial = attack()
    finally:
        torch.randint, torch.rand, torch.Tensor.sign = randint, rand, sign
    least = torch.stack(smallest).amin(0) if smallest else torch.ones_like(x)
    undecided = torch.nonzero(least.flatten() < UNDECIDED).flatten().tolist()
    runs.append({"library": library, "spec": spec, "draws": list(draws), "x": packed(adversarial), "undecided": undecided})
    changed = (model(adversarial).argmax(1) != y).float().mean().item()
    print(library, spec, "changed", changed, "undecided", len(undecided))


def torchattack(spec, attack, targeted=False):
    if targeted:
        attack.set_mode_targeted_by_label(quiet=True)
    record("torchattacks", {"preset": "torchattacks", **spec}, lambda: attack(x, target if targeted else y))


def shrunk_view(size, top, left):
    """A copy of `size` on black, 16 x 16, and the gradient of <view, cotangent> with respect to the image."""
    image = x[:1].clone().requires_grad_()
    small = F.interpolate(image, size=[size, size], mode="bilinear", align_corners=False)
    view = F.pad(small, [left, 16 - size - left, top, 16 - size - top])
    (gradient,) = torch.autograd.grad((view * x[1:2]).sum(), image)
    return {"size": size, "top": top, "left": left, "view": packed(view), "adjoint": packed(gradient)}


runs = []
torchattack({"name": "mi-fgsm"}, torchattacks.MIFGSM(model))
torchattack({"name": "mi-fgsm", "target": "least-likely"}, torchattacks.MIFGSM(model), True)
torchattack({"name": "di-fgsm"}, torchattacks.DIFGSM(model))
everything = {"decay": 1, "diversity": 1, "resizeRate": 0.5}
torchattack({"name": "di-fgsm", **everything}, torchattacks.DIFGSM(model, decay=1.0, diversity_prob=1.0, resize_rate=0.5))
torchattack({"name": "ti-fgsm", "diversity": 0}, torchattacks.TIFGSM(model, diversity_prob=0.0))
torchattack({"name": "ti-fgsm", "decay": 1}, torchattacks.TIFGSM(model, decay=1.0))
torchattack({"name": "pgd", "start": "clean"}, torchattacks.BIM(model))
wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
misclassified = foolbox.criteria.Misclassification(y)
spec = {"preset": "foolbox", "name": "fgsm", "norm": "l2", "epsilon": 0.5}
record("foolbox", spec, lambda: foolbox.attacks.L2FastGradientAttack()(wrapped, x, misclassified, epsilons=0.5)[1])

data = {
    "labels": LABELS,
    "y": y.tolist(),
    "pixels": packed((x * 255).round(), np.uint8),
    "dims": list(x.shape),
    "runs": runs,
    "views": [shrunk_view(15, 0, 0), shrunk_view(11, 4, 1), shrunk_view(8, 8, 8), shrunk_view(1, 3, 15)],
    "kernel": packed(torchattacks.TIFGSM(model).stacked_kernel[0, 0]),
}
with open("attacks_transfer.json", "w") as file:
    json.dump(data, file)
    file.write("\n")
