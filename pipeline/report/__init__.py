"""The page of a result, and the viewer in it."""
