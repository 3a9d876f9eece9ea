// --device: what its values mean, and what they are turned into.
#pragma once

#include <memory>
#include <string>

#include "calib/device.h"
#include "cli/command.h"

namespace paro::cli {

/// Error{kUsage} for anything but auto, cpu, cuda and cuda:N; Error{kLimit} for a CUDA device where this build has none
/// or `command` does not run on one.
void check_device(const std::string& device, const Command& command);

/// Where calibration runs: auto is the first CUDA device where there is one, else the CPU. Error{kLimit} for a CUDA
/// device that is not there.
std::unique_ptr<calib::Device> make_device(const CommonFlags& common);

}  // namespace paro::cli
