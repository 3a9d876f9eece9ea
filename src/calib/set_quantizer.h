// One set of linears (those that share an input) from full-precision weights and second moments to codes: target
// correction, rotation fit, rounding. Knows no model and no files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/threads.h"
#include "calib/measures.h"
#include "calib/numeric/kernels.h"
#include "calib/numeric/statistics.h"
#include "calib/options.h"
#include "quant/paro4/format.h"

namespace paro::calib {

/// A linear of the set: its weight comes in, its codes go out.
struct SetMember {
  std::string name;
  int64_t out = 0;
  std::vector<float> weight;  // [out, in]
  std::vector<float> bias;    // [out] or empty
};

/// What the correction aims at: nothing, E[x_f x_q^T] of the inputs, or E[y x_q^T] of the wanted outputs of the set's
/// only member.
enum class CrossMoment { kNone, kInputs, kOutputs };

struct SetLosses {
  double rtn = 0.0;         // of rounding the corrected weight to nearest, relative to its output's energy
  double rounded = 0.0;     // of what was written, the same measure
  double fit = 1.0;         // expected error after the rotation fit over before
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
  SetQuantizer(const QuantizeOptions& options, ThreadPool& pool);

  /// `statistics` may be null for Method::kRtn. `stream` separates the random pairs of different sets.
  QuantizedSet quantize(std::vector<SetMember> members, const Statistics* statistics, CrossMoment cross,
                        uint64_t stream) const;

 private:
  void correct(std::vector<SetMember>& members, const Statistics& statistics, CrossMoment cross,
               const SquareMatrix& h) const;
  std::shared_ptr<const PairRotation> fit(const std::vector<const SetMember*>& members,
                                          const std::vector<double>& rtn_losses, const SquareMatrix& h, uint64_t stream,
                                          SetLosses& losses) const;
  /// Loss against `target` of `weight` rounded to nearest, both [in, out].
  double rtn_loss(const std::vector<float>& weight, const std::vector<float>& target, int64_t out,
                  const std::vector<float>& h) const;
  Paro4Weight round(const SetMember& member, std::shared_ptr<const PairRotation> rotation, const SquareMatrix* h,
                    LinearMeasures& measures) const;

  const QuantizeOptions& options_;
  ThreadPool& pool_;
  const Kernels& kernels_;
};

}  // namespace paro::calib
