"""From a manifest and a recipe to a run folder with a bundle. The only room that imports torch."""
