"""What a file says of its own making, as found and apart from any score."""

from unmask.provenance.read import read_provenance
from unmask.provenance.types import Exif, Provenance, Xmp

__all__ = ["Exif", "Provenance", "Xmp", "read_provenance"]
