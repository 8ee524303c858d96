"""The project's own weight-decay steps on the sphere with isotropic noise, whose stationary state is known."""

import numpy as np
import pytest
import torch

from analysis.entropy import KozachenkoLeonenkoEntropy
from analysis.testsystems import IsotropicNoiseSphere
from mlflow_thermo.schema import FIXED_ELR, FIXED_LR
from projects.fixed_lr.protocols import make_update


def stationary(d, protocol, lr, decay, chains=2048, steps=4000, seed=0):
    """Radii and entropy on the sphere of that radius after `steps` of the project's update."""
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(chains, d, generator=generator, dtype=torch.float64)
    update = make_update(protocol, lr, decay)
    for _ in range(steps):
        square = (w * w).sum(dim=1, keepdim=True)
        xi = torch.randn(chains, d, generator=generator, dtype=torch.float64)
        update(w, (xi - (xi * w).sum(dim=1, keepdim=True) / square * w) / square.sqrt())
    radii = w.norm(dim=1)
    x = (w / radii[:, None]).numpy()
    direction = KozachenkoLeonenkoEntropy(k=4, dim=d - 1, jackknife_blocks=0).fit(x).entropy_
    return float(radii.mean()), direction + (d - 1) * float(radii.log().mean())


@pytest.mark.parametrize("d", [3, 10])
@pytest.mark.parametrize(("protocol", "lr", "share"), [(FIXED_ELR, 0.05, 0.5), (FIXED_LR, 0.5, 0.25)])
def test_radius_and_slope_of_the_entropy(d, protocol, lr, share):
    decays = np.array([5e-3, 1e-1])
    found = np.array([stationary(d, protocol, lr, float(decay)) for decay in decays])
    exact = IsotropicNoiseSphere(d).radius(lr, decays, protocol)
    np.testing.assert_allclose(found[:, 0], exact, rtol=0.02)
    slope = np.diff(found[:, 1])[0] / np.diff(np.log(decays))[0]
    assert slope == pytest.approx(-(d - 1) * share, rel=0.02)
