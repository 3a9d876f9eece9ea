// A linear on its way to codes: parameters, the differentiable weight they stand for, and what is stored in the end.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "calib/numeric/pairs.h"
#include "quant/paro4/format.h"
#include "train/autograd_functions.h"
#include "train/torch_ops.h"

namespace paro::train {

/// Rotation and channel scales of an input, shared by the linears that read it (or one linear's own).
class InputRotation {
 public:
  /// Angles 0, channel scales 1. `scaled`: channel scales are parameters, too.
  InputRotation(calib::PairRounds pairs, bool scaled, at::Device device);
  /// What a file holds. `scaled`: channel scales are parameters even where they are 1 so far.
  InputRotation(const PairRotation& stored, bool scaled, at::Device device);

  bool rotates() const { return rounds_.rounds > 0; }

  /// Parameters that stage 1 trains; empty where nothing is rotated or scaled.
  std::vector<at::Tensor> parameters() const;
  at::Tensor& theta() { return theta_; }
  at::Tensor& log_alpha() { return log_alpha_; }

  /// Makes the rotation's matrices from the angles as they are now; differentiable. Call once before to_rotated and
  /// from_rotated of a step.
  void prepare();
  /// w [out, in] -> R (w diag(alpha)), and its inverse.
  at::Tensor to_rotated(const at::Tensor& w) const;
  at::Tensor from_rotated(const at::Tensor& w) const;

  /// As a file holds it; the parameters become those values.
  std::shared_ptr<const PairRotation> store();

 private:
  at::Tensor turned(const at::Tensor& w, bool back) const;

  calib::PairRounds pairs_;
  bool scaled_;
  RotationRounds rounds_;
  at::Tensor theta_;      // [used rounds, in/2]; angles of pairs that do not turn are masked
  at::Tensor turning_;    // [used rounds, in/2] of 0 and 1, or undefined: all turn
  at::Tensor log_alpha_;  // [in]: log of what the weight is multiplied with; its inverse is the channel scale
  at::Tensor matrices_;   // [groups, g, g]: x R^T of a group as x M; undefined without rounds
};

/// Scale and zero point [out, in / g] of each group's range with 0 in it; differentiable in w through the scale.
struct GroupRange {
  at::Tensor scale, zero;
};
GroupRange group_range(const at::Tensor& w, int64_t group_size, double levels);

/// Codes of w [out, in] (in the rotated basis) with these scales and zero points, rounded to what a file holds.
/// Error{kInput} naming `name` for values that are not finite or beyond F16.
Paro4Weight round_to_codes(const std::string& name, const at::Tensor& w, const at::Tensor& scale,
                           const at::Tensor& zero, int64_t group_size, int64_t bits,
                           std::shared_ptr<const PairRotation> rotation, const at::Tensor& bias);

/// The weight that the codes stand for, in the linear's own basis [out, in].
at::Tensor stored_weight(const Paro4Weight& weight, at::Device device);

}  // namespace paro::train
