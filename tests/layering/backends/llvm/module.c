#include <llvm-c/Core.h>
#include "backends/llvm/llvm.h"
