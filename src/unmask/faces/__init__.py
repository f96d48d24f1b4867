"""Faces: found in a picture, followed through a clip, cut out for the network.

``load_backend(name)`` gives something that finds faces; ``ClipSearch`` runs it over the frames of a clip and follows
each person; ``crop_face`` cuts a face out.
"""

from unmask.faces.backends import backend_names, load_backend
from unmask.faces.clip import ClipSearch
from unmask.faces.track import Tracker
from unmask.faces.types import Box, CropSpec, Effort, Face, FaceBackend, Track

__all__ = [
    "Box",
    "ClipSearch",
    "CropSpec",
    "Effort",
    "Face",
    "FaceBackend",
    "Track",
    "Tracker",
    "backend_names",
    "load_backend",
]
