"""From a growth to maps of the patient: density, planning volumes, recurrence."""
