// From weights in the basis they are stored in to 4-bit codes: plain rounding, or rounding that knows the second
// moments of the input (GPTQ with a clipping search, then coordinate descent).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads.h"
#include "calib/numeric/blas.h"
#include "calib/numeric/kernels.h"

namespace paro::calib {

struct RoundOptions {
  int64_t group_size = 64;
  double levels = 15.0;            // 2^bits - 1
  bool clip = true;                // search for a smaller range by the weighted error
  double damping = 0.01;           // of the mean of diag(H)
  int64_t sweeps = 2;              // of coordinate descent after GPTQ
  bool second_order = true;        // with H: by round_second_order, else by round_clipped
  std::span<const int32_t> order;  // of the inputs when they are rounded; empty: as they are (Device::round only)
};

/// Codes of a weight [out, in]; value = (code - zero) * scale.
struct Rounded {
  std::vector<uint8_t> codes;  // [out, in]
  std::vector<uint8_t> zeros;  // [out, in / g]
  std::vector<float> scales;   // [out, in / g], rounded to f16
  double loss = 0.0;           // trace of E H E^T, E = value - w (0 for round_to_nearest)
  double reference = 0.0;      // trace of W H W^T
};

/// Each value to its nearest code, range = the group's minimum and maximum with 0 included.
/// w_transposed [in, out]. Infinite weights and scales beyond f16 throw Error{kInput}.
Rounded round_to_nearest(const std::vector<float>& w_transposed, int64_t out, const RoundOptions& options,
                         const Kernels& kernels, ThreadPool& pool);

/// trace of E H E^T, E = (values of the codes - target) diag(1 / scale); target_transposed [in, out], scale [in] or
/// empty: 1.
double rounded_loss(const Rounded& rounded, const std::vector<float>& target_transposed, int64_t out,
                    const std::vector<float>& scale, const std::vector<float>& h, int64_t group_size, ThreadPool& pool);

/// trace of E H E^T, E = (nearest(W diag(s)) - W diag(s)) diag(1/s): what rounding with the inputs scaled by `scale`
/// [in] costs; empty: by 1. h [in, in].
double nearest_loss(const std::vector<float>& w_transposed, int64_t out, const std::vector<float>& scale,
                    const std::vector<float>& h, const RoundOptions& options, const Kernels& kernels, ThreadPool& pool);

/// Each value to its nearest code, the group's range (with options.clip) shrunk by 1, 0.975, ... 0.6, whichever makes e
/// H_gg e^T least for that row and group (H_gg: the group's block of `h`). Source: the clipping search of AWQ (arXiv
/// 2306.00978), which measures the same error on activations. Same errors.
Rounded round_clipped(const std::vector<float>& w_transposed, int64_t out, const SquareMatrix& h,
                      const RoundOptions& options, const Kernels& kernels, ThreadPool& pool);

/// GPTQ (arXiv 2210.17323) in natural order over groups; scales chosen group by group on the compensated weights, with
/// column errors weighted by 1 / U_jj^2; then `sweeps` passes of coordinate descent on the codes. `h` is the second
/// moment of the input in the same basis. Same errors.
Rounded round_second_order(const std::vector<float>& w_transposed, int64_t out, const SquareMatrix& h,
                           const RoundOptions& options, const Kernels& kernels, ThreadPool& pool);

/// sum over rows [begin, end) of E H E^T, e_transposed [in, out].
double quadratic_loss(const std::vector<float>& e_transposed, int64_t out, const std::vector<float>& h, int64_t begin,
                      int64_t end);

}  // namespace paro::calib
