#include "ir/ir.h"
#include <string.h>
