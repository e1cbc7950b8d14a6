"""The growth that overlaps the outlines best: descent, refinement, own anatomy, ensemble."""
