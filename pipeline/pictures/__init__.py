"""Drawings by Matplotlib, as PNG: of patients, the atlas, databases and evaluations."""
