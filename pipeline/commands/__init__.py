"""The commands of the command line, by subject: thin shells over the library's functions."""
