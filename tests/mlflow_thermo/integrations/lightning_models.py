"""Models for Lightning; imported by tests that need it alone, as that takes seconds."""

import lightning.pytorch as pl
import torch
from torch import nn

from tests.mlflow_thermo.integrations.problem import BATCH, LR, network, samples


class Model(pl.LightningModule):
    """The network of the plain loop, trained by SGD."""

    def __init__(self, schedule=None, spoil=lambda update, loss: loss, interval="step"):
        super().__init__()
        self.net = network()
        self.schedule, self.spoil, self.interval = schedule, spoil, interval

    def training_step(self, batch, number):
        loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
        self.log("loss", loss)
        return self.spoil(self.trainer.global_step + 1, loss)

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=LR)
        if self.schedule is None:
            return optimizer
        return [optimizer], [{"scheduler": self.schedule(optimizer), "interval": self.interval}]


class Manual(Model):
    """The same with its own calls of the optimizer."""

    automatic_optimization = False

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, number):
        optimizer = self.optimizers()
        loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()


class TwoRates(Model):
    """One learning rate for the weight, and another one for the bias."""

    def configure_optimizers(self):
        groups = [{"params": [self.net.weight]}, {"params": [self.net.bias], "lr": LR / 2}]
        return torch.optim.SGD(groups, lr=LR)


class TwoOptimizers(Manual):
    """An optimizer for each."""

    def configure_optimizers(self):
        return [torch.optim.SGD([one], lr=LR) for one in self.net.parameters()]

    def training_step(self, batch, number):
        raise AssertionError("refused before the first step")


def loader(n=64):
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*samples(n)), batch_size=BATCH)


def fit(callback, model=None, epochs=4, n=64, ckpt_path=None, callbacks=(), **options):
    """A training on the CPU that prints nothing."""
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = pl.Trainer(
        **{"logger": False, **quiet, "max_epochs": epochs, "accelerator": "cpu", "devices": 1, **options},
        callbacks=[callback, *callbacks],
    )
    trainer.fit(model or Model(), loader(n), ckpt_path=ckpt_path)
    return trainer
