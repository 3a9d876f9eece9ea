// Calibration on a CUDA device: model, moments, correction, rotation fit and rounding. Weights go there when a layer is
// loaded, codes come back when a set is done; between them the host only reads losses and flags.
#pragma once

#include <memory>

#include "backends/cuda/context.h"
#include "calib/engine.h"

namespace paro::calib {

struct CudaEngineOptions {
  CudaProducts forward = CudaProducts::kF32;  // of the model's linears
  CudaProducts moments = CudaProducts::kF32;  // of H, C and B; the correction and rounding are f32 and f64 always
};

/// The defaults, or what the environment's PARO_CUDA_PRODUCTS=f32|split3 forces for both (to compare them).
CudaEngineOptions cuda_engine_options();

/// On device `index`. Error{kLimit} when there is none that serves.
std::unique_ptr<Engine> make_cuda_engine(int index, const CudaEngineOptions& options = {});

}  // namespace paro::calib
