// The trainer over LibTorch. The one header of this folder that others include: it names no tensor.
#pragma once

#include <memory>
#include <string>

#include "calib/trainer.h"

namespace paro::train {

/// Factors of products while training.
enum class Products { kAuto, kF32, kBf16 };  // auto: bf16 on a GPU, else f32

/// On `device`: "cpu", "cuda" or "cuda:N"; "auto": the first CUDA device that LibTorch sees, else the CPU. `threads` 0:
/// physical cores. Error{kLimit} for a device that is not there or that this LibTorch does not know.
std::unique_ptr<calib::Trainer> make_trainer(const std::string& device, int threads, Products products);

}  // namespace paro::train
