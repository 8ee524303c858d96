"""A loop of your own over several learning rates, two lines added to it, and the temperature curve that it gives.

    python examples/own_loop.py [FOLDER]

A linear model of five weights on 256 samples; a quarter of a minute.
"""

import sys
from tempfile import mkdtemp

import torch
from torch import nn

from analysis import analyze, from_folder
from mlflow_thermo import SnapshotRecorder, spaced

STEPS, BATCH = 16_000, 128
SERIES = [spaced(STEPS, n=4000, start=0.1)]
folder = sys.argv[1] if len(sys.argv) > 1 else mkdtemp(prefix="own-loop-")
torch.manual_seed(1)
x = torch.randn(256, 5)
y = x @ torch.randn(5, 1) + torch.randn(256, 1)

for lr in (0.12, 0.16, 0.21, 0.27, 0.35, 0.45):
    model = nn.Linear(5, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    with SnapshotRecorder(model, STEPS, series=SERIES, lr=lr, directory=f"{folder}/lr-{lr}") as recorder:  # added
        for pick in torch.randint(len(x), (STEPS, BATCH)):
            loss = nn.functional.mse_loss(model(x[pick]), y[pick])
            loss.backward()
            # Before the update, where loss and weights belong together. The minibatch loss will do too, in longer runs:
            # that of all samples, which costs little here, has no noise of the batches.
            recorder.step(nn.functional.mse_loss(model(x), y))  # added
            optimizer.step()
            optimizer.zero_grad()

result = analyze(from_folder(folder))
table = result.to_frame()
print(table[["lr", "loss", "entropy", "temperature", "n_eff", "status"]].to_string(index=False))
print(result.power_law or "the data allow no power law")
