"""What files hold: NIfTI in and out, rules of headers and frames, labels, resampling."""
