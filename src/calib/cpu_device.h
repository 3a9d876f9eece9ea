// Calibration on the CPU: the numeric/ folder over a thread pool.
#pragma once

#include <memory>

#include "calib/device.h"

namespace paro::calib {

/// `threads` 0: physical cores.
std::unique_ptr<Device> make_cpu_device(int threads);

}  // namespace paro::calib
