"""Recorders inside of other people's training loops: one module for each library, loaded only where it is imported.

`lightning.ThermoCallback` for Lightning, `transformers.ThermoCallback` for the Trainer of Transformers.
"""
