"""Gibbs states p(w) ∝ exp(−L(w)/T) of networks at temperatures that are set, and therefore known.

Names load when they are first used: reading a preset needs no torch.
"""

from typing import TYPE_CHECKING

from mlflow_thermo.faces import lazy_names

if TYPE_CHECKING:
    from projects.gibbs.charts import ChartedSpheres as ChartedSpheres
    from projects.gibbs.config import GibbsConfig as GibbsConfig, resolve as resolve
    from projects.gibbs.energy import Energy as Energy, stacked as stacked
    from projects.gibbs.geometry import (
        Blocks as Blocks,
        FlatSpace as FlatSpace,
        Geometry as Geometry,
        Spheres as Spheres,
    )
    from projects.gibbs.networks import SmoothNetwork as SmoothNetwork, smooth_network as smooth_network
    from projects.gibbs.presets import PRESETS as PRESETS
    from projects.gibbs.sampler import GibbsSampler as GibbsSampler
    from projects.gibbs.scale_invariant import ScaleInvariantMLP as ScaleInvariantMLP
    from projects.gibbs.start import settled_state as settled_state
    from projects.gibbs.states import Counts as Counts, Samples as Samples, State as State
    from projects.gibbs.surfaces import Surface as Surface, make_surface as make_surface
    from projects.gibbs.thermometers import virial_temperature as virial_temperature

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "charts": ["ChartedSpheres"],
        "config": ["GibbsConfig", "resolve"],
        "energy": ["Energy", "stacked"],
        "geometry": ["Blocks", "FlatSpace", "Geometry", "Spheres"],
        "networks": ["SmoothNetwork", "smooth_network"],
        "presets": ["PRESETS"],
        "sampler": ["GibbsSampler"],
        "scale_invariant": ["ScaleInvariantMLP"],
        "start": ["settled_state"],
        "states": ["Counts", "Samples", "State"],
        "surfaces": ["Surface", "make_surface"],
        "thermometers": ["virial_temperature"],
    },
)
