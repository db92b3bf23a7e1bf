#include "frontend/frontend.h"
#include <protobuf-c/protobuf-c.h>
