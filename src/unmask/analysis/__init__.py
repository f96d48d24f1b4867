"""From a file to a report."""

from unmask.analysis.detector import Detector, Source, analyze

__all__ = ["Detector", "Source", "analyze"]
