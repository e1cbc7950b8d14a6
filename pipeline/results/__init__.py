"""Files of a result: names, tables, provenance, and the folder as a transaction."""
