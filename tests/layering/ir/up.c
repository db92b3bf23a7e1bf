#include "ir/ir.h"
#include "passes/pass.h"
