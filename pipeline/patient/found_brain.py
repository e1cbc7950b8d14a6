"""The brain that is found in a head, and its source."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..images.foreground import foreground, shows_head
from ..images.nifti import Scan
from .brain import extract_brain
from .brain_option import BrainWay, network_version
from .learned_brain import extract_learned
from .patient_files import carry_mask


@dataclass(frozen=True)
class BrainSource:
    """The source of a patient's brain.

    Attributes
    ----------
    way : str
        "mask" that was given, "image" without skull, "reference" of the segmentation without skull,
        or, in a head, "network" or "atlas".
    tool, version : str or None
        Package that found it in a head.
    """

    way: Literal["mask", "image", "reference", "network", "atlas"]
    tool: str | None = None
    version: str | None = None

    def row(self) -> dict[str, Any]:
        """Plain values by name, as `result.json` shows them."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, eq=False)
class FoundBrain:
    """The brain of a head.

    Attributes
    ----------
    mask : bool array of the head's shape
    drawn : Scan or None
        The mask on the voxels on which it was drawn, if they differ from the head's.
    source : BrainSource
    told : str
        Completes the sentence "its brain is ...".
    """

    mask: NDArray[np.bool_]
    drawn: Scan | None
    source: BrainSource
    told: str


def find_brain(head: Scan, reference: Scan | None, way: BrainWay) -> FoundBrain:
    """Find the brain of a head.

    Parameters
    ----------
    head : Scan
        T1-weighted, with its skull.
    reference : Scan or None
        The segmentation's reference in the head's world. If it shows no skull, its brain is used.
    way : "auto", "network" or "atlas"
        How to find the brain without such a reference.

    Raises
    ------
    InputError
        If the user asks for the network and it finds no brain.
    RegistrationError
        If ANTs fails.
    """
    if reference is not None and not shows_head(reference):
        drawn = Scan(foreground(reference.values).astype(np.float32), reference.grid)
        source, told = BrainSource("reference"), "that of the segmentation's reference"
        return FoundBrain(carry_mask(drawn, head.grid), drawn, source, told)
    told, network = "found with the help of the atlas", network_version()
    if way != "atlas" and network is not None:
        mask = extract_learned(head)
        if mask is not None:
            source = BrainSource("network", "deepbet", network)
            return FoundBrain(mask, None, source, "found by a network (deepbet)")
        if way == "network":
            raise InputError(
                "brain: the network (deepbet) finds nothing of a brain's volume in the registered "
                "image; find it by the atlas, or give a brain mask"
            )
        told += ", for a network (deepbet) found nothing of its volume"
    source = BrainSource("atlas", "glioquery", version("glioquery"))
    return FoundBrain(extract_brain(head), None, source, told)
