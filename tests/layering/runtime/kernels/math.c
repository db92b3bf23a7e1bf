#include <math.h>
#include "runtime/kernels/xk.h"
