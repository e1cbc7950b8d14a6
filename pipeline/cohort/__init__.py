"""Many patients through Ray; the PREDICT-GBM contract."""
