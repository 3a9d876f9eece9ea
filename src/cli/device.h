// --device: what its values mean, and what they are turned into.
#pragma once

#include <memory>
#include <string>

#include "calib/device.h"
#include "calib/processes.h"
#include "calib/trainer.h"
#include "cli/command.h"

namespace paro::cli {

/// Error{kUsage} for anything but auto, cpu, cuda and cuda:N; Error{kLimit} for a CUDA device where this build has none
/// or `command` does not run on one.
void check_device(const std::string& device, const Command& command);

/// Those that mpirun started; one where it started none. Error{kLimit} when it did and this build has no MPI.
std::unique_ptr<calib::Processes> make_processes();

/// Where calibration runs: auto is the first CUDA device where there is one, else the CPU. Error{kLimit} for a CUDA
/// device that is not there. With `trains` a CUDA device may be one that only make_trainer can use: then the CPU.
/// `local_rank` (Processes): which of the machine's GPUs cuda and auto mean.
std::unique_ptr<calib::Device> make_device(const CommonFlags& common, bool trains = false, int local_rank = 0);

/// Whether this build has LibTorch.
bool trainer_available();
/// Where training runs. `products`: auto, f32 or bf16. Error{kLimit} where this build has no LibTorch, naming `asked`,
/// the flag that needs it, or where the device is not there.
std::unique_ptr<calib::Trainer> make_trainer(const CommonFlags& common, const std::string& products,
                                             const std::string& asked);

}  // namespace paro::cli
