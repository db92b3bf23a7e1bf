#include <protobuf-c/protobuf-c.h>
#include "onnx.pb-c.h"
