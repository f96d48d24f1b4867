"""Data sets: layouts, the manifest, splits, frames of clips, self-blends.

Import the modules themselves: ``manifest``, ``prepare`` and ``synth`` need the extra ``data``, ``blend`` needs none.
"""

from pathlib import Path

PORTRAIT = Path(__file__).with_name("astronaut.jpg")
"""The one face that the package carries: Eileen Collins, 512×512, NASA, public domain (``skimage.data.astronaut``)."""
