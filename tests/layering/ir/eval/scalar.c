#include "runtime/kernels/xk.h"
