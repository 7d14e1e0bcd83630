"""A tiny sequence classifier with random weights, saved by transformers: a real local model for the hub detector."""

import hashlib

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *"abcdefghijklmnopqrstuvwxyz",
    *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
]
LABELS = {0: "neutral", 1: "toxic", 2: "insult"}


def save_tiny_classifier(folder, seed=0, problem_type="multi_label_classification", **options):
    """Save a classifier in `folder` and return the options of a detector that runs it."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=66, id2label=LABELS, label2id={v: k for k, v in LABELS.items()}, problem_type=problem_type,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.weight.mul_(40)
        model.classifier.bias.fill_(-1.0)
    model.save_pretrained(folder, **options)
    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.safetensors")}
    return {"model": str(folder), "sha256": digests, "labels": {"toxic": "toxic", "insult": "insult"}}
