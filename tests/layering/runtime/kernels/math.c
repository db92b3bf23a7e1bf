#include "runtime/kernels/xk.h"
#include <math.h>
