#include <protobuf-c/protobuf-c.h>
#include "frontend/frontend.h"
