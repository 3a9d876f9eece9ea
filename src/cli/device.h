// --device: what its values mean, and what they are turned into.
#pragma once

#include <memory>
#include <string>

#include "calib/device.h"
#include "calib/processes.h"
#include "cli/command.h"

namespace paro::cli {

/// Error{kUsage} for anything but auto, cpu, cuda and cuda:N; Error{kLimit} for a CUDA device where this build has none
/// or `command` does not run on one.
void check_device(const std::string& device, const Command& command);

/// Those that mpirun started; one where it started none. Error{kLimit} when it did and this build has no MPI.
std::unique_ptr<calib::Processes> make_processes();

/// Where calibration runs: auto is the first CUDA device where there is one, else the CPU. Error{kLimit} for a CUDA
/// device that is not there.
/// `local_rank` (Processes): which of the machine's GPUs cuda and auto mean.
std::unique_ptr<calib::Device> make_device(const CommonFlags& common, int local_rank = 0);

}  // namespace paro::cli
