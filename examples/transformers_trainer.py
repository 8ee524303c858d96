"""The Trainer of Transformers, with a callback that records the training: the head of a small model, made on the spot.

    python examples/transformers_trainer.py [FOLDER]

Needs `pip install -e ".[transformers]"`, and no network; half a minute.
"""

import sys
from tempfile import mkdtemp

import torch
from torch.utils.data import TensorDataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

from analysis import analyze, from_folder
from mlflow_thermo.integrations.transformers import ThermoCallback

STEPS, BATCH, TOKENS, LENGTH = 1500, 64, 16, 6
folder = sys.argv[1] if len(sys.argv) > 1 else mkdtemp(prefix="transformers-")
config = BertConfig(
    vocab_size=TOKENS, hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1, num_labels=1,
    max_position_embeddings=LENGTH, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=1.0,
)  # fmt: skip
torch.manual_seed(0)
texts = TensorDataset(torch.randint(TOKENS, (256, LENGTH)), torch.randn(256))


def collate(rows: list[tuple[torch.Tensor, ...]]) -> dict[str, torch.Tensor]:
    """Texts, each with a number that the head learns to tell."""
    tokens, numbers = zip(*rows, strict=True)
    return {"input_ids": torch.stack(tokens), "labels": torch.stack(numbers)}


for lr in (0.1, 0.15, 0.2, 0.3):
    set_seed(0)
    model = BertForSequenceClassification(config)
    arguments = TrainingArguments(
        # A constant learning rate: the Trainer's default falls linearly, and would be refused.
        f"{folder}/trainer", max_steps=STEPS, learning_rate=lr, lr_scheduler_type="constant", optim="sgd",
        per_device_train_batch_size=BATCH, weight_decay=0.0, max_grad_norm=0.0, use_cpu=True, report_to="none",
        save_strategy="no", logging_strategy="no", disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    # A whole language model has more weights than anyone has snapshots: only its head is trained.
    model.bert.requires_grad_(False)
    callback = ThermoCallback(directory=f"{folder}/runs/lr-{lr}")
    Trainer(model, arguments, train_dataset=texts, data_collator=collate, callbacks=[callback]).train()

table = analyze(from_folder(f"{folder}/runs")).to_frame()
print(table[["lr", "loss", "entropy", "temperature", "n_eff", "status"]].to_string(index=False))
