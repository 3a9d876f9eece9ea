// Calibration on the CPU: the numeric/ folder over a thread pool.
#pragma once

#include <memory>

#include "calib/engine.h"

namespace paro::calib {

/// `threads` 0: physical cores.
std::unique_ptr<Engine> make_cpu_engine(int threads);

}  // namespace paro::calib
