// Takes the measures of a set's linears (measures.h) while it is quantized. What costs time is taken for the report
// alone; what needs the values of weights or moments, only from devices that keep them in the host's memory.
#pragma once

#include <span>
#include <vector>

#include "calib/device.h"
#include "calib/measures.h"
#include "calib/numeric/kernels.h"
#include "calib/options.h"

namespace paro::calib {

class SetMeter {
 public:
  /// `weights` of the set's linears, which outlive it, and the `bits` of each.
  SetMeter(const Device& device, const QuantizeOptions& options, std::vector<const WeightMatrix*> weights,
           std::vector<int64_t> bits);

  /// The weights as they are given, before the correction.
  void given();
  /// The corrected weights W*, with their losses when rounded to nearest (none: without statistics).
  void corrected(const SecondMoment* h, std::span<const double> nearest_losses);
  /// What is written for linear `i`, before its codes' own basis is left: `h` of the rotated input or null, `loss` and
  /// `energy` of the rounding.
  void written(size_t i, const SecondMoment* h, const Paro4Weight& weight, double loss, double energy);

  std::vector<LinearMeasures> measures;  // of each linear

 private:
  /// At most kSampledRows outputs, evenly spread: [in, rows].
  std::vector<float> sampled(const WeightMatrix& w) const;
  /// Loss of some outputs of linear `i`, `w` rounded to nearest against `target`; both [in, rows].
  double sampled_loss(size_t i, const std::vector<float>& w, const std::vector<float>& target,
                      const std::vector<float>& h) const;

  const QuantizeOptions& options_;
  const HostMatrices* host_;
  const Kernels& kernels_;
  std::vector<const WeightMatrix*> weights_;
  std::vector<int64_t> bits_;
  bool detailed_;                            // for the report, and the host can
  std::vector<std::vector<float>> samples_;  // of the given weights
  std::vector<double> sampled_losses_;       // of the corrected weights
};

}  // namespace paro::calib
