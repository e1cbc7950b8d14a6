"""How two images are brought together: linear stage, SyN through ANTs, and the transform."""
