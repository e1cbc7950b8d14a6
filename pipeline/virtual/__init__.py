"""Patients with a known answer: the demonstration and the calibration."""
