/* devices.c - the devices that a model runs on; a test has another table. */
#include "runtime/device.h"

const xf_dev *const xf_devices[] = {&xf_device_cpu, NULL};
