from .plain import cut_outline as cut_outline
from .plain import intersections as intersections
from .plain import least_sums as least_sums
