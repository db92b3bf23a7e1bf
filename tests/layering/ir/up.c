#include "passes/pass.h"
#include "ir/ir.h"
