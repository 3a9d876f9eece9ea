// One set of linears (those that share an input) from full-precision weights and second moments to codes: target
// correction, rotation fit, rounding, each step computed by a device. Knows no model and no files.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "calib/device.h"
#include "calib/layer_quantizer.h"
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

struct QuantizedSet {
  std::vector<Paro4Weight> weights;      // one for each member
  std::vector<LinearMeasures> measures;  // likewise
  SetLosses losses;
};

/// Angles that are not finite become 0, which leaves a rotation; how many there were.
int64_t drop_lost_angles(std::vector<float>& theta);
/// The pairs of an input of `in` channels that is rotated online, as options say. `magnitudes`: the largest weight of
/// each channel, [in], asked for where it matters. `stream` separates the random pairs of different sets.
PairRounds choose_pairs(const QuantizeOptions& options, int64_t in, uint64_t stream,
                        const std::function<std::vector<float>()>& magnitudes);
/// A rotation as a file holds it: angles and channel scales rounded to F16.
std::shared_ptr<const PairRotation> stored_rotation(const PairRounds& pairs, const std::vector<float>& theta,
                                                    const std::vector<float>& channel_scales = {});

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
