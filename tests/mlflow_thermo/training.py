"""A training whose weights tell the step that they are from."""

import torch
from torch import nn

from mlflow_thermo import Schedule


def train(recorder, parameter, steps, first=0):
    """Run a loop whose weights before step t are t − 1 and whose loss is t."""
    for t in range(first + 1, first + steps + 1):
        with torch.no_grad():
            parameter.fill_(t - 1)
        recorder.step(torch.tensor(float(t)))


def make(d=6):
    return nn.Parameter(torch.zeros(d))


SERIES = (Schedule("spaced", tuple(range(4, 21, 4))), Schedule("consecutive", (18, 19, 20)))
