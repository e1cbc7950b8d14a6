"""Orders of convergence."""

import numpy as np


def slope(sizes, errors):
    """Observed order: the slope of log error over log size."""
    order = float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])
    print(f"\norder {order:.3f}, errors {' '.join(f'{e:.3g}' for e in errors)}")
    return order
