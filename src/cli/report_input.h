// What `paro report` reads: the JSON documents of `paro quantize --report`, `paro eval --json` and `paro bench --json`,
// checked and as numbers. A figure that a document does not have is NaN.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"

namespace paro::cli {

/// The stages of a linear's loss, in their order.
inline constexpr std::array<const char*, 4> kLossStages = {"start", "corrected", "rotated", "rounded"};
inline constexpr std::array<const char*, 4> kLossStageNames = {"nearest, given weight", "nearest, corrected target",
                                                               "nearest, rotated", "written"};

struct LinearFigures {
  std::string name;
  std::array<double, 4> loss;
  std::array<double, 3> weight_peak;  // given, before the rotation, after it
  std::array<double, 3> weight_kurtosis;
  std::array<double, 2> input_peak;  // before, after
  double angle_mean = 0.0;
  double angle_max = 0.0;
  std::vector<double> angle_bins;
  std::array<double, 3> scales;  // least, median, largest
  double clipped = 0.0;
};

struct LayerFigures {
  std::vector<LinearFigures> linears;
  double error = 0.0;           // of the residual stream behind the layer, calibration text
  double held_out_error = 0.0;  // held-out text
};

struct SignFigures {
  std::string sign, message, advice;
};

struct QuantizeRun {
  std::string file;
  std::string label;  // set by label_runs
  std::string output;
  Json settings;
  std::vector<LayerFigures> layers;
  std::vector<SignFigures> signs;
  double kl = 0.0;  // against full precision, on the text fitted to
  double held_out_kl = 0.0;
  double perplexity_ratio = 0.0;  // held-out text
  double bytes = 0.0;
  double seconds = 0.0;

  /// Mean over all linears of the loss behind a stage.
  double mean_loss(size_t stage) const;
};

struct EvalRun {
  std::string file, model, teacher, texts;
  double perplexity = 0.0;
  double teacher_perplexity = 0.0;
  double ratio = 0.0;
  double kl = 0.0;
  double kl_p99 = 0.0;
  double top1 = 0.0;
};

struct BenchPoint {
  double size = 0.0;  // rows or positions
  double tokens_per_second = 0.0;
};
struct BenchRun {
  std::string file, model, isa;
  double weights_bytes = 0.0;
  double resident_bytes = 0.0;
  std::vector<BenchPoint> prefill, decode;
};

struct ReportInput {
  std::vector<QuantizeRun> runs;
  std::vector<EvalRun> evals;
  std::vector<BenchRun> benches;
};

/// Reads the files in the order given. Throws Error{kInput} naming file and key: not JSON, none of the three kinds, or
/// something in it of another type than expected.
ReportInput read_results(const std::vector<std::string>& files);

}  // namespace paro::cli
