"""One step of each protocol against the formula, and what it conserves."""

import pytest
import torch

from mlflow_thermo.schema import PROTOCOLS
from projects.fixed_lr.protocols import make_update, project_to_sphere


@pytest.fixture
def state():
    generator = torch.Generator().manual_seed(0)
    w, g = (torch.randn(9, generator=generator, dtype=torch.float64) for _ in range(2))
    return w, g


def test_sphere(state):
    w, g = state
    project_to_sphere(w)
    expected = (w - 0.3 * g) / (w - 0.3 * g).norm()
    make_update("sphere", 0.3, 5.0)(w, g)
    torch.testing.assert_close(w, expected)


def test_fixed_lr(state):
    w, g = state
    expected = w - 0.3 * (g + 0.1 * w)
    make_update("fixed_lr", 0.3, 0.1)(w, g)
    torch.testing.assert_close(w, expected)


def test_fixed_elr(state):
    w, g = state
    expected = w - 0.3 * w.dot(w) * (g + 0.1 * w)
    make_update("fixed_elr", 0.3, 0.1)(w, g)
    torch.testing.assert_close(w, expected)


def test_effective_learning_rate_on_scale_invariant_weights(state):
    """With g(w) = g(w/|w|)/|w| a fixed effective lr turns the direction by the same angle at every norm."""
    w, g = state
    g = g - w * w.dot(g) / w.dot(w)
    directions = []
    for scale in (1.0, 10.0):
        moved = scale * w
        make_update("fixed_elr", 0.3, 0.0)(moved, g / scale)
        directions.append(moved / moved.norm())
    torch.testing.assert_close(directions[0], directions[1])


def test_all_protocols_have_an_update():
    for protocol in PROTOCOLS:
        assert callable(make_update(protocol, 0.1, 0.0))
