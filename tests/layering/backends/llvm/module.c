#include "backends/llvm/llvm.h"
#include <llvm-c/Core.h>
