"""NIfTI files whose headers say what a test wants, contradictions included."""

import gzip

import nibabel as nib


def header_of(values, affine, **fields):
    """A header with both frames at one place, but for the fields that are set by name."""
    header = nib.Nifti1Header()
    header.set_data_shape(values.shape)
    header.set_data_dtype(values.dtype)
    header.set_sform(affine, 1)
    header.set_qform(affine, 1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    for name, value in fields.items():
        header[name] = value
    return header


def write_raw(path, values, affine, *, padding=b"", **fields):
    """Write what `header_of` makes, as it is: nibabel's `save` would mend it."""
    header = header_of(values, affine, **fields)
    data = header.binaryblock + bytes(4) + values.tobytes(order="F") + padding
    path.write_bytes(gzip.compress(data, 1) if path.name.endswith(".gz") else data)
    return path
