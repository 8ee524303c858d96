"""A Lightning training that records itself, at several learning rates.

    python examples/lightning_callback.py [FOLDER]

Needs `pip install -e ".[lightning]"`; half a minute.
"""

import logging
import sys
import warnings
from tempfile import mkdtemp

import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from analysis import analyze, from_folder
from mlflow_thermo.integrations.lightning import ThermoCallback

STEPS, BATCH = 4000, 64
folder = sys.argv[1] if len(sys.argv) > 1 else mkdtemp(prefix="lightning-")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
# Lightning's own, and its advice on many workers.
warnings.filterwarnings("ignore", module="lightning")


class Regression(pl.LightningModule):
    """A linear model, trained by SGD at a fixed learning rate."""

    def __init__(self, lr: float) -> None:
        super().__init__()
        self.net, self.lr = nn.Linear(3, 1, bias=False), lr

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        """The loss of one batch."""
        return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """SGD without a scheduler: a temperature is that of a fixed learning rate."""
        return torch.optim.SGD(self.parameters(), lr=self.lr)


pl.seed_everything(0, verbose=False)
x = torch.randn(256, 3)
data = TensorDataset(x, x @ torch.randn(3, 1) + torch.randn(256, 1))
for lr in (0.05, 0.1, 0.2, 0.3):
    batches = DataLoader(data, BATCH, sampler=RandomSampler(data, replacement=True, num_samples=STEPS * BATCH))
    trainer = pl.Trainer(
        max_steps=STEPS, accelerator="cpu", callbacks=[ThermoCallback(directory=f"{folder}/lr-{lr}")], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Regression(lr), batches)

table = analyze(from_folder(folder)).to_frame()
print(table[["lr", "loss", "entropy", "temperature", "n_eff", "status"]].to_string(index=False))
