#include "onnx.pb-c.h"
#include <protobuf-c/protobuf-c.h>
