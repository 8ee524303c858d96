"""Gradient accumulation and a GradScaler in a loop of your own: a step is an update that the optimizer makes.

    python examples/mixed_precision.py [FOLDER]

Half precision on the CPU, so that it runs everywhere; with a GPU, read "cuda" for "cpu". A few seconds.
"""

import sys
from tempfile import mkdtemp

import torch
from torch import nn

from mlflow_thermo import SnapshotRecorder

UPDATES, MICRO_BATCHES, BATCH, LR = 400, 4, 16, 0.1
folder = sys.argv[1] if len(sys.argv) > 1 else mkdtemp(prefix="mixed-precision-")
torch.manual_seed(0)
x = torch.randn(256, 5)
y = x @ torch.randn(5, 1) + torch.randn(256, 1)
model = nn.Linear(5, 1, bias=False)
optimizer = torch.optim.SGD(model.parameters(), lr=LR)
# So large that the first gradients are infinite: these updates are skipped, and the scale is halved.
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20)

with SnapshotRecorder(model, UPDATES, lr=LR, directory=f"{folder}/lr-{LR}") as recorder:
    losses: list[torch.Tensor] = []
    # The scaler calls the optimizer only where there is an update to make, and the optimizer calls this right before.
    optimizer.register_step_pre_hook(lambda *_: recorder.step(torch.stack(losses).mean()))
    attempts = 0
    while recorder.steps_taken < UPDATES:
        losses.clear()
        for pick in torch.randint(len(x), (MICRO_BATCHES, BATCH)):
            with torch.autocast("cpu", torch.float16):
                loss = nn.functional.mse_loss(model(x[pick]), y[pick])
            losses.append(loss.detach())
            scaler.scale(loss / MICRO_BATCHES).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        attempts += 1

index = recorder.index("spaced")
print(f"{attempts} attempts, {recorder.steps_taken} updates, {index.n_snapshots} snapshots, complete: {index.complete}")
