"""Prompts, and the small CLIP-style byte-level BPE tokenizer learned from them."""

import re
from collections import Counter
from pathlib import Path

from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

TEMPLATE = "a photo of a {label}"
TEMPLATES = (TEMPLATE, TEMPLATE, "{label}", "a {label}", "a drawing of a {label}", "a picture of a {label}", "the {label}")
MAX_LENGTH = 16
# COCO's words, so that the vocabulary also fits scenes with other categories
COCO_WORDS = """person bicycle car motorcycle airplane bus train truck boat traffic light fire hydrant stop sign parking
meter bench bird cat dog horse sheep cow elephant bear zebra giraffe backpack umbrella handbag tie suitcase frisbee skis
snowboard sports ball kite baseball bat glove skateboard surfboard tennis racket bottle wine glass cup fork knife spoon
bowl banana apple sandwich orange broccoli carrot hot dog pizza donut cake chair couch potted plant bed dining table
toilet tv laptop mouse remote keyboard cell phone microwave oven toaster sink refrigerator book clock vase scissors teddy
hair drier toothbrush a an the of and with photo picture drawing image scene painting no object background""".split()


def learn_merges(words: Counter) -> list[tuple[str, str]]:
    """Byte-pair encoding until every word is one token; ties are broken alphabetically."""
    pieces = {word: [*word[:-1], word[-1] + "</w>"] for word in words}
    merges: list[tuple[str, str]] = []
    while True:
        pairs: Counter = Counter()
        for word, parts in pieces.items():
            for pair in zip(parts, parts[1:], strict=False):
                pairs[pair] += words[word]
        if not pairs:
            return merges
        best = max(sorted(pairs), key=lambda pair: pairs[pair])
        merges.append(best)
        for parts in pieces.values():
            k = 0
            while k < len(parts) - 1:
                if (parts[k], parts[k + 1]) == best:
                    parts[k : k + 2] = ["".join(best)]
                k += 1


def build_tokenizer(names: list[str]) -> CLIPTokenizer:
    words = Counter(COCO_WORDS)
    for name in names:
        words.update(re.findall(r"[a-z]+", name.lower()))
    merges = learn_merges(words)
    alphabet = list(bytes_to_unicode().values())
    tokens = [*alphabet, *(c + "</w>" for c in alphabet), *dict.fromkeys("".join(m) for m in merges)]
    vocab = {token: k for k, token in enumerate([*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_LENGTH)


def save_tokenizer(tokenizer: CLIPTokenizer, folder: Path) -> None:
    tokenizer.save_pretrained(folder)


def encode(tokenizer: CLIPTokenizer, prompts: list[str]):
    """int64 [N, 16], padded with <|endoftext|> as the pipelines of diffusers do."""
    return tokenizer(prompts, padding="max_length", truncation=True, max_length=MAX_LENGTH, return_tensors="pt").input_ids


def list_prompt(labels: list[str]) -> str:
    """`a photo of a cat, a dog and a bus`."""
    if not labels:
        return ""
    head, last = labels[:-1], labels[-1]
    joined = ", a ".join(head) + " and a " + last if head else last
    return TEMPLATE.format(label=joined)
