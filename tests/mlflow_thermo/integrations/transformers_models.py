"""Models for the Trainer of Transformers; imported by tests that need it alone, as that takes seconds."""

import torch
import transformers
from torch import nn
from torch.utils.data import DataLoader, Dataset

from tests.mlflow_thermo.integrations.problem import BATCH, LR, network, samples


class Model(nn.Module):
    """The network of the plain loop, with its loss in the output."""

    def __init__(self, spoil=lambda call, loss: loss):
        super().__init__()
        self.net, self.spoil, self.calls = network(), spoil, 0

    def forward(self, x, labels):
        self.calls += 1
        return {"loss": self.spoil(self.calls, nn.functional.mse_loss(self.net(x), labels)), "logits": x}


class Rows(Dataset):
    def __init__(self, n):
        self.x, self.y = samples(n)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, row):
        return {"x": self.x[row], "labels": self.y[row]}


class Texts(Dataset):
    """Sequences of unequal numbers of tokens that count."""

    def __init__(self, n=16):
        self.tokens = torch.randint(8, (n, 6), generator=torch.Generator().manual_seed(1))

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, row):
        labels = self.tokens[row].clone()
        # The first token is never predicted, and the Trainer counts it all the same.
        labels[: 1 + row % 4] = -100
        return {"input_ids": self.tokens[row], "labels": labels}


def language_model():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=8, n_positions=8, n_embd=4, n_layer=1, n_head=1, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


Trainer = transformers.Trainer


class Ordered(Trainer):
    """Takes the samples in their order, as the plain loop does."""

    def get_train_dataloader(self):
        return DataLoader(self.train_dataset, batch_size=self.args.per_device_train_batch_size)


class OwnLoss(Ordered):
    """Computes its loss itself, and tells the callback."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss = nn.functional.mse_loss(model.net(inputs["x"]), inputs["labels"])
        for callback in self.callback_handler.callbacks:
            if hasattr(callback, "add_loss") and self.tell:
                callback.add_loss(loss)
        return loss

    tell = True


def train(callback, folder, model=None, epochs=4, n=64, kind=Ordered, resume=None, schedule=None, rows=None, **options):
    """A training on the CPU by SGD at a fixed learning rate that prints nothing."""
    model = model or Model()
    settings = {
        "output_dir": str(folder), "num_train_epochs": epochs, "per_device_train_batch_size": BATCH, "use_cpu": True,
        "learning_rate": LR, "lr_scheduler_type": "constant", "optim": "sgd", "max_grad_norm": 0.0, "report_to": "none",
        "save_strategy": "no", "disable_tqdm": True, "logging_strategy": "no", "remove_unused_columns": False,
    }  # fmt: skip
    arguments = transformers.TrainingArguments(**{**settings, **options})
    optimizers = (None, None)
    if schedule is not None:
        optimizer = torch.optim.SGD(model.parameters(), lr=LR)
        optimizers = (optimizer, schedule(optimizer))
    trainer = kind(model, arguments, train_dataset=rows or Rows(n), callbacks=[callback], optimizers=optimizers)
    trainer.train(resume_from_checkpoint=resume)
    return trainer
