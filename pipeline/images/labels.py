"""Named conventions for the labels of a segmentation: never guessed, always checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...errors import InputError
from ...solver import TumorMasks

ROUNDING = 0.01
"""Distance from an integer that counts as rounding in a scaled file."""

LARGEST_LABEL = 2**31 - 1

MANY_LABELS = 12
"""Largest number of labels; no convention of tumours has more."""


@dataclass(frozen=True)
class LabelConvention:
    """Which labels make up which outline.

    Attributes
    ----------
    name : str
    core : frozenset of int
        Enhancing and necrotic (non-enhancing) tumour core.
    whole : frozenset of int
        Everything seen on FLAIR, oedema and core included.
    no_tumour : frozenset of int
        Labels of anything else, such as a resection cavity. No further labels may occur, apart from
        0.
    """

    name: str
    core: frozenset[int]
    whole: frozenset[int]
    no_tumour: frozenset[int] = frozenset()

    @property
    def known(self) -> frozenset[int]:
        """All labels that may occur, apart from 0."""
        return self.whole | self.no_tumour

    def row(self) -> dict[str, str | list[int]]:
        """Plain values by name, as `result.json` shows them.

        Returns
        -------
        dict
        """
        return {
            "name": self.name,
            "core": sorted(self.core),
            "whole": sorted(self.whole),
            "no_tumour": sorted(self.no_tumour),
        }


CONVENTIONS = MappingProxyType(
    {
        "brats2021": LabelConvention("brats2021", frozenset({1, 4}), frozenset({1, 2, 4})),
        "brats2023": LabelConvention("brats2023", frozenset({1, 3}), frozenset({1, 2, 3})),
        "brats2024-post": LabelConvention(
            "brats2024-post", frozenset({1, 3}), frozenset({1, 2, 3}), frozenset({4})
        ),
    }
)
"""Conventions by name. Label 1 is necrotic core and 2 oedema (after treatment: all that is bright
on FLAIR) in all; enhancing tumour is 4 until BraTS 2021, 3 from 2023 on, and 4 is the resection
cavity in BraTS 2024's glioma after treatment (de Verdier et al., "The 2024 Brain Tumor Segmentation
(BraTS) challenge: glioma segmentation on post-treatment MRI", arXiv 2405.18368)."""


def label_convention(
    name: str | None = None,
    *,
    core_labels: Sequence[int] | None = None,
    whole_labels: Sequence[int] | None = None,
    option: str = "labels",
) -> LabelConvention:
    """Look up a convention by name, or make one from explicit labels.

    Parameters
    ----------
    name : str, optional
        Name of one of `CONVENTIONS`, in upper or lower case.
    core_labels, whole_labels : sequence of int, optional
        Labels of both outlines, in place of a name.
    option : str
        Option that gives the name, which begins the messages.

    Returns
    -------
    LabelConvention

    Raises
    ------
    InputError
        If the name is unknown, if both or neither way is used, or if the explicit labels are
        not positive or those of the core are not among those of the whole tumour.

    Examples
    --------
    >>> sorted(label_convention("brats2021").core)
    [1, 4]
    >>> label_convention(core_labels=[4], whole_labels=[2, 4]).row()["whole"]
    [2, 4]
    """
    explicit = core_labels is not None or whole_labels is not None
    known = ", ".join(CONVENTIONS)
    if name is not None and explicit:
        raise InputError(
            f"{option}: give either a convention ({name!r} came) or explicit core and whole "
            "labels, not both"
        )
    if name is not None:
        name = name.lower()  # BraTS2021, as the challenge writes it
        if name not in CONVENTIONS:
            raise InputError(
                f"{option}: unknown convention {name!r}; there are {known} (`invert` and "
                "`load_patient` also take the labels of both outlines themselves)"
            )
        return CONVENTIONS[name]
    if core_labels is None or whole_labels is None:
        raise InputError(
            f"{option}: the meaning of a segmentation's labels is never guessed; name a convention "
            f"({known}); `invert` and `load_patient` also take the labels of both outlines "
            "themselves (--core-labels and --whole-labels)"
        )
    core, whole = frozenset(map(int, core_labels)), frozenset(map(int, whole_labels))
    if not whole or min(whole | core) < 1:
        raise InputError(
            f"{option}: labels are positive integers and the whole tumour has at least one, got "
            f"core {sorted(core)}, whole {sorted(whole)}"
        )
    if not core <= whole:
        raise InputError(
            f"{option}: the whole tumour includes its core, but {sorted(core - whole)} of the core "
            f"labels {sorted(core)} are missing in the whole labels {sorted(whole)}"
        )
    return LabelConvention("explicit", core, whole)


def rounded_labels(values: NDArray[Any]) -> NDArray[np.integer | np.bool_] | None:
    """Labels as integers, where all are within `ROUNDING` of them; else None.

    Scaled files (scl_slope) hold 1.000015 for 1.
    """
    if values.dtype.kind in "bui":
        return values
    nearest = np.rint(values)
    with np.errstate(invalid="ignore"):  # NaN and infinity are near nothing
        is_near = bool((np.abs(values - nearest) <= ROUNDING).all())
    if not is_near or np.abs(nearest).max() > LARGEST_LABEL:
        return None
    return nearest.astype(np.int32)


def outlines_from_labels(
    segmentation: NDArray[Any],
    grid: Grid,
    convention: LabelConvention,
    *,
    name: str = "segmentation",
    option: str = "--labels",
) -> TumorMasks:
    """Turn a label image into the two outlines.

    Parameters
    ----------
    segmentation : array of the grid's shape
        Integers, whatever their type; floating-point numbers are rounded by `ROUNDING` at most.
    grid : Grid
        Grid of the label image.
    convention : LabelConvention
        What the labels mean.
    name : str
        The user's name for the image, which begins the messages.
    option : str
        Option that names a convention, for the messages.

    Returns
    -------
    TumorMasks
        The outlines on the grid of the label image.

    Raises
    ------
    InputError
        If values are not integers, labels occur that the convention does not have, or no tumour
        is labelled.
    """
    labels = rounded_labels(segmentation)
    if labels is None:
        raise InputError(
            f"{name}: expected integer labels (to {ROUNDING}), got {_summary(segmentation)}; give "
            "the segmentation, or resample it with a nearest-neighbour or label interpolator"
        )
    found = {int(label) for label in np.unique(labels)} - {0}
    if not found:
        raise InputError(f"{name}: it is empty, no voxel carries a label; is it the right file?")
    if len(found) > MANY_LABELS and not found <= convention.known:
        raise InputError(
            f"{name}: expected the labels {sorted(convention.known)} of {convention.name}, got "
            f"{_summary(labels)}, as an image or a parcellation has them; give the tumour's "
            "segmentation"
        )
    if not found <= convention.known:
        raise InputError(
            f"{name}: the labels {sorted(found)} do not fit {convention.name} "
            f"{sorted(convention.known)}: {sorted(found - convention.known)} unknown; name the "
            f"convention that fits ({option} {', '.join(CONVENTIONS)}) or give explicit labels"
        )
    if not found & convention.whole:
        raise InputError(
            f"{name}: it has no tumour, none of the labels {sorted(convention.whole)} occurs; is "
            "it the right file?"
        )
    core = np.isin(labels, sorted(convention.core))
    whole = np.isin(labels, sorted(convention.whole))
    return TumorMasks(core, whole, grid)


def _summary(values: NDArray[Any]) -> str:
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return "NaN or infinity alone"
    counted = f"{len(np.unique(finite))} different values from {finite.min():g} to {finite.max():g}"
    return counted if finite.size == values.size else f"{counted}, and NaN or infinity"
