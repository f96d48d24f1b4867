"""Measuring a bundle: predictions, metrics with intervals, calibration, degradations.

A module a concern; import them by name (``from unmask.evaluate.predict import predict``): several need the extra
``[data]``, which ``import unmask.evaluate`` does not.
"""
