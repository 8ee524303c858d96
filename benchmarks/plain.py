"""What a sweep costs when it is written in the plainest way: one run after the other, with nothing but torch.

This is how the experiments of arXiv 2505.23489 are made: ordinary layers, an ordinary optimiser, as many threads as
torch takes by itself, and 1000 minibatch gradients at each log point.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from projects.fixed_lr import Dataset


class PlainConvNet(nn.Module):
    """The architecture of `projects.fixed_lr.models.ConvNet` in ordinary layers."""

    def __init__(self, width: int, channels: int, image_size: int, n_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        size = image_size
        sizes = [channels, width, 2 * width, 4 * width, 8 * width]
        for stage in range(4):
            inputs, outputs = sizes[stage], sizes[stage + 1]
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(outputs, affine=False, track_running_stats=False), nn.ReLU()]
            if stage and size > 1:
                layers.append(nn.MaxPool2d(2))
                size //= 2
        self.features = nn.Sequential(*layers, nn.MaxPool2d(size), nn.Flatten())
        self.head = nn.Linear(8 * width, n_classes, bias=False)
        with torch.no_grad():
            self.head.weight.mul_(10 / self.head.weight.norm())
        self.head.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (n, n_classes)."""
        return self.head(self.features(x))  # type: ignore[no-any-return]


class PlainTraining:
    """SGD on the unit sphere."""

    def __init__(self, data: Dataset, width: int, lr: float, batch_size: int = 128) -> None:
        torch.manual_seed(0)
        self.data = replace(data, x_train=data.x_train.contiguous())
        self.batch_size = batch_size
        self.model = PlainConvNet(width, data.channels, data.image_size, data.n_classes)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(self.parameters, lr=lr)
        self.project()

    def project(self) -> None:
        """Rescale all weights together to norm 1."""
        with torch.no_grad():
            norm = torch.sqrt(sum((p**2).sum() for p in self.parameters))
            for p in self.parameters:
                p /= norm

    def gradient(self, index: Tensor) -> None:
        """Backward pass of a batch."""
        self.optimizer.zero_grad()
        loss = functional.cross_entropy(self.model(self.data.x_train[index]), self.data.y_train[index])
        loss.backward()  # type: ignore[no-untyped-call]

    def draw(self) -> Tensor:
        """A batch's samples."""
        return torch.randint(len(self.data.y_train), (self.batch_size,))

    def step(self) -> None:
        """One step of the training."""
        self.gradient(self.draw())
        self.optimizer.step()
        self.project()

    def flat(self) -> Tensor:
        """The current gradient as one vector."""
        return torch.cat([p.grad.reshape(-1) for p in self.parameters if p.grad is not None])

    def log(self, noise_batches: int = 1000) -> tuple[float, float]:
        """A log point: the full gradient and so many minibatch gradients; |∇L| and the noise."""
        order = torch.arange(len(self.data.y_train))
        full = torch.zeros_like(self.flat())
        for index in order.split(self.batch_size):
            self.gradient(index)
            full += self.flat() * len(index) / len(order)
        total = 0.0
        for _ in range(noise_batches):
            self.gradient(self.draw())
            total += float((self.flat() - full).square().sum())
        return float(full.norm()), (total / noise_batches) ** 0.5
