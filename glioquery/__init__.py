"""glioquery: from an MRI and an outline of a glioma to a map of tumour-cell density."""
