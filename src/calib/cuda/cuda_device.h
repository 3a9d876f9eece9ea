// Calibration on a CUDA device: model, moments, correction, rotation fit and rounding. Weights go there when a layer is
// loaded, codes come back when a set is done; between them the host only reads losses and flags.
#pragma once

#include <memory>

#include "backends/cuda/context.h"
#include "calib/device.h"

namespace paro::calib {

struct CudaDeviceOptions {
  CudaProducts forward = CudaProducts::kSplit3;  // of the model's linears
  CudaProducts moments = CudaProducts::kSplit3;  // of H, C and B; the correction and rounding are f32 and f64 always
};

/// The defaults, or what the environment's PARO_CUDA_PRODUCTS=f32|split3 forces for both (to compare them).
CudaDeviceOptions cuda_device_options();

/// On device `index`. Error{kLimit} when there is none that serves.
std::unique_ptr<Device> make_cuda_device(int index, const CudaDeviceOptions& options = {});

}  // namespace paro::calib
