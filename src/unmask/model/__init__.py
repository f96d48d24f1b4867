"""The network: bundles, their cards, calibration."""

from unmask.model.bundle import Bundle, load_bundle, pack
from unmask.model.calibrate import decide, p_fake, p_text
from unmask.model.card import Card, Level, Thresholds, TrainingSet

__all__ = [
    "Bundle",
    "Card",
    "Level",
    "Thresholds",
    "TrainingSet",
    "decide",
    "load_bundle",
    "p_fake",
    "p_text",
    "pack",
]
