"""What long work needs of a machine: files that appear whole, locks, cores, Ray."""
