"""Writes metrics.json: multi-label metrics by scikit-learn, SSIM by scipy's Gaussian filter, Wilson's interval by scipy.

Scores come in coarse steps, so that ties are common; some labels and some images are empty.
Needs numpy, scipy and scikit-learn. Run: python test/golden/metrics.py
"""

import json
import warnings
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy.ndimage import gaussian_filter
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

warnings.filterwarnings("ignore")
rng = np.random.default_rng(11)


def case(images, labels, step, empty_labels, empty_images, weights=None):
    truth = (rng.random((images, labels)) < 0.3).astype(int)
    truth[:, :empty_labels] = 0
    truth[:empty_images] = 0
    scores = np.round((truth * 0.8 + rng.normal(0, 1, truth.shape)) / step) * step
    thresholds = np.round(rng.normal(0.4, 0.3, labels) / step) * step
    thresholds[-1] = 99  # a label that is never declared present
    decisions = (scores > thresholds).astype(int)
    repeat = np.ones(images, int) if weights is None else np.bincount(rng.integers(0, images, images), minlength=images)
    index = np.repeat(np.arange(images), repeat)
    t, s, d = truth[index], scores[index], decisions[index]
    out = {"scores": scores.tolist(), "truth": truth.tolist(), "thresholds": thresholds.tolist(), "weights": repeat.tolist()}
    for average in ["samples", "micro", "macro", "weighted"]:
        p, r, f, _ = precision_recall_fscore_support(t, d, average=average, zero_division=0)
        out[average] = [p, r, f]
    p, r, _ = out["macro"]
    out["cf1"] = 2 * p * r / (p + r) if p + r else 0.0
    present = [k for k in range(labels) if t[:, k].any()]
    out["ap"] = [average_precision_score(t[:, k], s[:, k]) if k in present else None for k in range(labels)]
    out["map"] = float(np.mean([out["ap"][k] for k in present]))
    out["precisionAt"] = [float(np.mean([t[i, np.argsort(-s[i], kind="stable")[:k]].mean() for i in range(len(t))])) for k in (1, 2, 3)]
    return out


def ssim(a, b):
    def blur(x):
        return gaussian_filter(x, 1.5, truncate=3.5)[5:-5, 5:-5]

    values = []
    for x, y in zip(a, b):
        mx, my = blur(x), blur(y)
        vx, vy, vxy = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
        c1, c2 = 0.01**2, 0.03**2
        values.append((((2 * mx * my + c1) * (2 * vxy + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())
    return float(np.mean(values))


cases = [case(30, 6, 0.25, 1, 3), case(25, 8, 0.5, 2, 0, weights=True), case(12, 4, 0.001, 0, 1), case(40, 5, 1.0, 1, 5, weights=True)]
images = []
for noise in (0.02, 0.2):
    clean = np.round(np.clip(rng.random((3, 1, 1)) + np.sin(np.arange(15)[:, None] / 3 + np.arange(17) / 4) / 3, 0, 1) * 255) / 255
    other = np.round(np.clip(clean + rng.normal(0, noise, clean.shape), 0, 1) * 255) / 255
    mse = float(((clean - other) ** 2).mean())
    images.append(
        {
            "dims": list(clean.shape),
            "a": np.round(clean * 255).astype(int).ravel().tolist(),
            "b": np.round(other * 255).astype(int).ravel().tolist(),
            "ssim": ssim(clean, other),
            "psnr": -10 * np.log10(mse),
            "l2": float(np.sqrt(((clean - other) ** 2).sum())),
            "linf": float(np.abs(clean - other).max()),
        }
    )
wilson = [
    [k, n, *binomtest(k, n).proportion_ci(confidence_level=0.95, method="wilson")] for k, n in [(0, 10), (10, 10), (1, 3), (64, 100), (999, 1000)]
]
out = {"versions": {"scikit-learn": sklearn.__version__, "scipy": scipy.__version__}, "multilabel": cases, "images": images, "wilson": wilson}
Path(__file__).with_suffix(".json").write_text(json.dumps(out) + "\n")
