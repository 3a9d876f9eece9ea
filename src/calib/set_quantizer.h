// One set of linears (those that share an input) from full-precision weights and second moments to codes: target
// correction, rotation fit, rounding, each step computed by a device. Knows no model and no files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "calib/device.h"
#include "calib/measures.h"
#include "calib/numeric/pairs.h"
#include "calib/options.h"
#include "calib/set_meter.h"
#include "quant/paro4/format.h"

namespace paro::calib {

/// A linear of the set: its weight comes in, its codes go out.
struct SetMember {
  std::string name;
  std::unique_ptr<WeightMatrix> weight;
  std::vector<float> bias;  // [out] or empty
  int64_t bits = 4;
};

struct SetLosses {
  double rtn = 0.0;         // of rounding the corrected weight to nearest, relative to its output's energy
  double rounded = 0.0;     // of what was written, the same measure
  double fit = 1.0;         // expected error after the rotation fit over before; awq: with the scales over without
  int64_t lost_angles = 0;  // not finite after the fit: written as 0
};

struct QuantizedSet {
  std::vector<Paro4Weight> weights;      // one for each member
  std::vector<LinearMeasures> measures;  // likewise
  SetLosses losses;
};

/// Angles that are not finite become 0, which leaves a rotation; how many there were.
int64_t drop_lost_angles(std::vector<float>& theta);

class SetQuantizer {
 public:
  SetQuantizer(const QuantizeOptions& options, Device& device) : options_(options), device_(device) {}

  /// `sums` may be null for Method::kRtn. `stream` separates the random pairs of different sets.
  /// Without `online` all angles stay 0.
  QuantizedSet quantize(std::vector<SetMember> members, const MomentSums* sums, CrossMoment cross, uint64_t stream,
                        bool online) const;
  /// Method::kAwq: `h` and the members' weights with their scales in them.
  QuantizedSet quantize(std::vector<SetMember> members, const SecondMoment& h) const;

 private:
  std::shared_ptr<const PairRotation> unrotated(int64_t in) const;
  /// weight_factors: of each weight's ranges in the objective.
  std::shared_ptr<const PairRotation> fit(std::span<const WeightMatrix* const> weights,
                                          std::span<const double> weight_factors, const SecondMoment& h,
                                          const PairRounds& pairs, SetLosses& losses) const;
  PairRounds pairs_for(std::span<const WeightMatrix* const> weights, uint64_t stream, bool online) const;
  /// Linear `i` of the set.
  Paro4Weight round(const SetMember& member, std::shared_ptr<const PairRotation> rotation, const SecondMoment* h,
                    size_t i, SetMeter& meter) const;

  const QuantizeOptions& options_;
  Device& device_;
};

}  // namespace paro::calib
