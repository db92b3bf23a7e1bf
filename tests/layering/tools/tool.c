#include "ir/ir.h"
#include "tools/cli.h"
