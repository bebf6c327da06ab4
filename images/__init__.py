"""Recipes of the images that tests, demos and docs use, and a registry that serves them."""
