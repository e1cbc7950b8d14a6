"""What a search counts, voxel by voxel: `compiled` in C, or `plain` where that was not built.

Both give the same integers. An installation without a C compiler goes on with NumPy.
"""

try:
    from .compiled import cut_outline, intersections, least_sums
except ImportError:
    from .plain import cut_outline, intersections, least_sums

__all__ = ["cut_outline", "intersections", "least_sums"]
