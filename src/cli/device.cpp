#include "cli/device.h"

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/log.h"
#include "calib/cpu_device.h"
#ifdef PARO_CUDA
#include "calib/cuda/cuda_device.h"
#endif
#ifdef PARO_MPI
#include "calib/mpi/mpi_processes.h"
#endif
#ifdef PARO_TORCH
#include "train/torch_trainer.h"
#endif

namespace paro::cli {
namespace {

/// N of cuda:N, 0 for cuda; -1 for anything else.
int cuda_index(const std::string& device) {
  if (device == "cuda") return 0;
  if (!device.starts_with("cuda:") || device.size() < 6 || device.size() > 8) return -1;
  if (device.find_first_not_of("0123456789", 5) != std::string::npos) return -1;
  return std::stoi(device.substr(5));
}

[[maybe_unused]] [[noreturn]] void fail_without_cuda(const std::string& device) {
  fail_limit(
      "--device {}: this build of paro has no CUDA (configure it with -DPARO_CUDA=ON, which needs the CUDA "
      "toolkit with cuBLAS and cuSOLVER); use --device cpu",
      device);
}

}  // namespace

void check_device(const std::string& device, const Command& command) {
  if (device == "auto" || device == "cpu") return;
  if (cuda_index(device) < 0) fail_usage("--device: expected auto, cpu, cuda or cuda:N, found '{}'", device);
#if !defined(PARO_CUDA) && !defined(PARO_TORCH)
  fail_without_cuda(device);
#endif
  if (!command.on_cuda)
    fail_limit("--device {}: `paro {}` runs on the CPU only; use --device cpu", device, command.name);
}

std::unique_ptr<calib::Processes> make_processes() {
  // What launchers tell the processes they start: Open MPI, and those that speak PMI (MPICH, Slurm's srun).
  const auto started = [](const char* variable) {
    const char* size = std::getenv(variable);
    return size != nullptr && std::atoi(size) > 1;
  };
  if (!started("OMPI_COMM_WORLD_SIZE") && !started("PMI_SIZE")) return std::make_unique<calib::OneProcess>();
#ifdef PARO_MPI
  return calib::make_mpi_processes();
#else
  fail_limit(
      "started as one of several processes, but this build of paro has no MPI (configure it with -DPARO_MPI=ON)");
#endif
}

std::unique_ptr<calib::Device> make_device(const CommonFlags& common, [[maybe_unused]] bool trains,
                                           [[maybe_unused]] int local_rank) {
#ifdef PARO_CUDA
  const bool cuda = common.device == "auto" ? cuda_devices() > 0 : common.device != "cpu";
  if (cuda) {
    const bool named = common.device.find(':') != std::string::npos;
    const int index = named ? cuda_index(common.device) : local_rank % std::max(cuda_devices(), 1);
    auto device = calib::make_cuda_device(index, calib::cuda_device_options());
    log_info("device: {}", device->fingerprint()["device"].get<std::string>());
    return device;
  }
#else
  if (!trains && common.device != "auto" && common.device != "cpu") fail_without_cuda(common.device);
#endif
  return calib::make_cpu_device(common.threads);
}

#ifdef PARO_TORCH
bool trainer_available() { return true; }

std::unique_ptr<calib::Trainer> make_trainer(const CommonFlags& common, const std::string& products,
                                             const std::string&) {
  return train::make_trainer(common.device, common.threads,
                             products == "f32"    ? train::Products::kF32
                             : products == "bf16" ? train::Products::kBf16
                                                  : train::Products::kAuto);
}
#else
bool trainer_available() { return false; }

std::unique_ptr<calib::Trainer> make_trainer(const CommonFlags&, const std::string&, const std::string& asked) {
  fail_limit(
      "{}: trains, and this build of paro has no LibTorch: install libtorch-dev (or a PyTorch wheel) and configure "
      "with "
      "-DPARO_TORCH=ON; --preset fast needs no training",
      asked);
}
#endif

}  // namespace paro::cli
