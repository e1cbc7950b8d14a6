"""A patient's files in, a patient's map out: registration, inversion, report, command line."""
