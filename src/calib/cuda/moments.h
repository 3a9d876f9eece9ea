// Moments of a set on the device: sums over the tokens, H, and what is derived from it.
#pragma once

#include <string>

#include "backends/cuda/context.h"
#include "calib/device.h"

namespace paro::calib {

struct CudaMatrix : WeightMatrix {
  DeviceArray<float> values;  // [out, in]
};

struct CudaMoment : SecondMoment {
  DeviceArray<double> h;  // [n, n]
};

struct CudaSums : MomentSums {
  CudaSums(const CudaContext& device, int64_t width, int64_t cross, CudaProducts kind);
  void add(const float* x, const float* y, int64_t rows) override;
  void combine(const std::function<void(std::span<double>)>& add_up) override;
  /// E[y x^T], [cross_rows, in]. Error{kInput} naming `where` when a sum is not finite.
  DeviceArray<double> cross_moment(const std::string& where) const;
  std::unique_ptr<CudaMoment> second_moment(const std::string& where) const;

 private:
  void add_product(const float* y, int64_t m, const float* x, int64_t rows, bool upper, double* total);

  const CudaContext& context_;
  CudaProducts products_;
  int64_t rows_ = 0;
  DeviceArray<double> gram_;   // [in, in], upper triangle
  DeviceArray<double> cross_;  // [cross_rows, in]
};

/// calib::corrected_weight of each weight (numeric/correction.h), in place.
void correct_on_device(const CudaContext& context, std::span<WeightMatrix* const> weights, CrossMoment cross,
                       const DeviceArray<double>& wanted, const CudaMoment& h, double damping);
/// U of round_second_order in f32, [n, n]: U^T U = (H + damping)^-1.
DeviceArray<float> inverse_factor_on_device(const CudaContext& context, const CudaMoment& h, double damping);
/// H in f32.
DeviceArray<float> narrowed(const CudaContext& context, const CudaMoment& h);
double mean_diagonal(const CudaContext& context, const CudaMoment& h);
/// trace of E H E^T, e [rows, n].
double quadratic_loss_on_device(const CudaContext& context, const float* e, int64_t rows, const DeviceArray<float>& h,
                                int64_t n);

}  // namespace paro::calib
