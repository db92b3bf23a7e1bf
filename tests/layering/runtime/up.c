#include "ir/ir.h"
#include <omp.h>
