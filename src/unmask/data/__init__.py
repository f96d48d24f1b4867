"""Data sets: layouts, the manifest, splits, frames of clips, self-blends.

Import the modules themselves: ``manifest`` and ``prepare`` need the extra ``data``, ``blend`` needs none.
"""
