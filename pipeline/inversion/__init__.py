"""The way of one patient, from files to values."""
