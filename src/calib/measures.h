// What the report says about one linear: losses stage by stage, outliers of weights and activations before and after
// the rotation, angles, scales, clipping. Measured while a set is quantized; nothing here changes what is written.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/json.h"
#include "base/threads.h"
#include "quant/paro4/format.h"

namespace paro::calib {

/// How far a weight's groups (one output, g inputs) are from evenly spread values.
struct GroupShape {
  double peak_mean = 0.0;  // max |w| / rms, mean over the groups
  double peak_max = 0.0;
  double kurtosis = 0.0;     // excess kurtosis, mean over the groups (0: normal, -1.2: uniform)
  int64_t equal_groups = 0;  // whose values are all the same: they count for nothing above
  int64_t groups = 0;
};

/// w_transposed [in, out].
GroupShape measure_groups(const std::vector<float>& w_transposed, int64_t out, int64_t group_size, ThreadPool& pool);
/// GroupShape::equal_groups alone, which costs next to nothing; w [out, in].
int64_t count_equal_groups(const std::vector<float>& w, int64_t group_size);

/// Outlier channels of an input, from its energies diag(H).
struct ChannelPeaks {
  double whole = 0.0;      // largest over mean energy
  double in_groups = 0.0;  // the same inside a group, mean over the groups
};
ChannelPeaks measure_channels(std::span<const double> energies, int64_t group_size);

/// Angles by size: bins of 10 degrees of |angle| from 0 to 180.
inline constexpr int64_t kAngleBins = 18;

/// What was not measured is empty.
struct LinearMeasures {
  // Squared error of the output against that of the corrected target W*, E = tr((V - W*) H (V - W*)^T), for V = what
  // stands at the end of each stage; absolute until divided by `energy` = tr(W* H W*^T).
  // `start` and `rotated` are estimated as `corrected` times a ratio of losses over some of the outputs.
  std::optional<double> start;       // the given weight, rounded to nearest
  double corrected = 0.0;            // W*, rounded to nearest
  std::optional<double> rotated;     // W*, rounded to nearest in the rotated basis
  double rounded = 0.0;              // what is written
  double energy = 0.0;               // 0: nothing was measured (round to nearest has no statistics)
  std::optional<GroupShape> given;   // the given weight
  std::optional<GroupShape> before;  // W* before and after the rotation
  std::optional<GroupShape> after;
  std::optional<int64_t> equal_groups;  // of W* before the rotation
  std::optional<ChannelPeaks> input_before;
  std::optional<ChannelPeaks> input_after;

  /// From what is written; `levels`: the largest code.
  void add_written(const Paro4Weight& weight, double levels);
  /// The share of weights that clipping moved: `target_transposed` [in, out] is W* in the basis of the codes.
  void add_clipped(const Paro4Weight& weight, const std::vector<float>& target_transposed, double levels,
                   ThreadPool& pool);
  /// For the report; losses relative to the energy.
  Json json() const;

 private:
  Json written_ = Json::object();
};

}  // namespace paro::calib
