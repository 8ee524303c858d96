"""The sphere with isotropic noise and weight decay: stationary radius, loss and the slopes of its entropy."""

import numpy as np
import pytest

from analysis.entropy import KozachenkoLeonenkoEntropy
from analysis.testsystems import IsotropicNoiseSphere
from mlflow_thermo.schema import FIXED_ELR, FIXED_LR

DECAYS = np.geomspace(1e-3, 1e-1, 5)


def measured(system, lr, protocol, seed=0, decays=DECAYS):
    """Radii, entropies on the sphere of that radius, and mean losses, one for each weight decay."""
    w = system.simulate(
        lr, decays, 8, np.random.default_rng(seed), protocol=protocol, chains=256, spacing=400, burn_in=6000
    )
    radii = np.linalg.norm(w, axis=2)
    x = w / radii[..., None]
    d = system.n_weights
    direction = [KozachenkoLeonenkoEntropy(k=4, dim=d - 1, jackknife_blocks=0).fit(one).entropy_ for one in x]
    entropy = np.array(direction) + (d - 1) * np.log(radii).mean(axis=1)
    return radii.mean(axis=1), entropy, system.field * (1 + x[..., 0]).mean(axis=1)


def slope(decays, entropy):
    return np.polyfit(np.log(decays), entropy, 1)[0]


@pytest.mark.parametrize("d", [3, 10])
def test_fixed_effective_lr(d):
    system = IsotropicNoiseSphere(d)
    radii, entropy, _ = measured(system, 0.05, FIXED_ELR)
    np.testing.assert_allclose(radii, system.radius(0.05, DECAYS, FIXED_ELR), rtol=0.02)
    assert slope(DECAYS, entropy) == pytest.approx(-(d - 1) / 2, rel=0.02)
    assert slope(DECAYS, system.entropy(0.05, DECAYS, FIXED_ELR)) == pytest.approx(-(d - 1) / 2, rel=1e-9)


@pytest.mark.parametrize("d", [3, 10])
def test_fixed_lr_has_half_the_slope(d):
    system = IsotropicNoiseSphere(d)
    # Not smaller: a direction that turns by lr/r² a step would be correlated from one snapshot to the next.
    decays = np.geomspace(5e-3, 2e-1, 5)
    radii, entropy, _ = measured(system, 0.5, FIXED_LR, decays=decays)
    np.testing.assert_allclose(radii, system.radius(0.5, decays, FIXED_LR), rtol=0.02)
    found = slope(decays, entropy)
    assert found == pytest.approx(-(d - 1) / 4, rel=0.02)
    # Negative control: the other protocol's slope is out of reach.
    assert abs(found + (d - 1) / 2) > 0.2 * (d - 1)


@pytest.mark.parametrize("d", [3, 10])
@pytest.mark.parametrize(("protocol", "lr"), [(FIXED_ELR, 0.05), (FIXED_LR, 0.3)])
def test_with_a_loss(d, protocol, lr):
    system = IsotropicNoiseSphere(d, field=0.05)
    radii, entropy, loss = measured(system, lr, protocol)
    np.testing.assert_allclose(radii, system.radius(lr, DECAYS, protocol), rtol=0.02)
    np.testing.assert_allclose(loss, system.loss(lr, DECAYS, protocol), rtol=0.08)
    if protocol == FIXED_ELR:
        # At a fixed effective learning rate the direction does not know of the weight decay.
        assert np.ptp(system.loss(lr, DECAYS, protocol)) == 0
        assert slope(DECAYS, entropy) == pytest.approx(-(d - 1) / 2, rel=0.02)


def test_a_loss_pushes_outwards():
    """The gradient of the loss adds to the noise's, and a stronger field shows it."""
    lr, decays = 0.05, [1e-2]
    free = IsotropicNoiseSphere(3).radius(lr, decays, FIXED_ELR)[0]
    # Much stronger than the temperature: |∇L|² = f·2·A·T of the two tangent directions adds to σ²(d − 1) = 2.
    system = IsotropicNoiseSphere(3, field=8.0)
    exact = system.radius(lr, decays, FIXED_ELR)[0]
    assert exact / free == pytest.approx(np.sqrt(1 + 8 * 0.025), rel=0.01)
    w = system.simulate(
        lr, decays, 50, np.random.default_rng(1), protocol=FIXED_ELR, chains=64, spacing=20, burn_in=4000
    )
    # A step of lr·f = 0.4 is not small: the spread of the direction is that of discrete steps, 1/(1 − lr·f/2) wider.
    assert np.linalg.norm(w, axis=2).mean() == pytest.approx(exact, rel=0.03)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: IsotropicNoiseSphere(2), "n_weights"),
        (lambda: IsotropicNoiseSphere(3, field=-1), "field"),
        (lambda: IsotropicNoiseSphere(3, noise=0), "noise"),
        (lambda: IsotropicNoiseSphere(3).radius(0.1, [0.1], "sphere"), "no weight decay"),
        (lambda: IsotropicNoiseSphere(3).radius(0.1, [-0.1], FIXED_LR), "weight_decay"),
        (lambda: IsotropicNoiseSphere(3).radius(1.0, [0.1], FIXED_ELR), "too large"),
        (lambda: IsotropicNoiseSphere(3).radius(3.0, [1.0], FIXED_LR), "unstable"),
    ],
)
def test_bad_input(make, match):
    with pytest.raises(ValueError, match=match):
        make()
