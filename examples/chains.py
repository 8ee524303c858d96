"""Several chains in a loop of your own: independent snapshots add up over them, and they watch each other.

    python examples/chains.py [FOLDER]

One model burns in, and copies of it go on with batches of their own; a quarter of a minute.
"""

import copy
import sys
from tempfile import mkdtemp

import torch
from torch import nn

from analysis import analyze, from_folder
from mlflow_thermo import SnapshotRecorder, spaced

CHAINS, BURN_IN, STEPS, BATCH = 8, 300, 2000, 64
folder = sys.argv[1] if len(sys.argv) > 1 else mkdtemp(prefix="chains-")
torch.manual_seed(0)
x = torch.randn(256, 5)
y = x @ torch.randn(5, 1) + torch.randn(256, 1)


def batch_loss(net: nn.Module) -> torch.Tensor:
    """The loss on a batch of the chain's own."""
    pick = torch.randint(len(x), (BATCH,))
    return nn.functional.mse_loss(net(x[pick]), y[pick])


for lr in (0.06, 0.09, 0.13, 0.19, 0.28):
    model = nn.Linear(5, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(BURN_IN):
        batch_loss(model).backward()
        optimizer.step()
        optimizer.zero_grad()

    chains = [copy.deepcopy(model) for _ in range(CHAINS)]
    # One optimizer for all of them: the gradient of the sum is each chain's own.
    optimizer = torch.optim.SGD([parameter for chain in chains for parameter in chain.parameters()], lr=lr)
    # Nothing of the training is left out: it has burnt in already.
    series = [spaced(STEPS, n=500, start=0.0)]
    with SnapshotRecorder(chains, STEPS, series=series, lr=lr, directory=f"{folder}/lr-{lr}") as recorder:
        for _ in range(STEPS):
            torch.stack([batch_loss(chain) for chain in chains]).sum().backward()
            with torch.no_grad():
                recorder.step([nn.functional.mse_loss(chain(x), y) for chain in chains])
            optimizer.step()
            optimizer.zero_grad()

table = analyze(from_folder(folder)).to_frame()
print(table[["lr", "loss", "entropy", "temperature", "n_eff", "status"]].to_string(index=False))
