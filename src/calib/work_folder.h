// What a run of `paro quantize` leaves behind layer by layer, so that an interrupted one can go on: OUTPUT/.paro-work/
// with the settings, the calibration ids and one safetensors file for each finished layer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "calib/calibration_text.h"
#include "calib/layer_quantizer.h"
#include "calib/processes.h"
#include "quant/method.h"

namespace paro::calib {

class WorkFolder {
 public:
  /// Creates OUTPUT and the work folder. With `resume`, what is there must have been made with the same `settings`
  /// (Error{kInput} names the first that differs); without it, an unfinished run is Error{kInput}. A finished
  /// checkpoint in OUTPUT is Error{kInput} in any case.
  /// Layers are kept in the output's format.
  WorkFolder(const std::filesystem::path& output, const Json& settings, bool resume,
             const QuantizationConfig& quantization);

  /// Process 0's files of these names (see file()) in the folders of all processes; what it lacks, none has afterwards.
  void share(Processes& processes, const std::vector<std::string>& names) const;

  std::optional<CalibrationDraw> load_calibration(const CalibrationAmount& amount) const;
  void save_calibration(const CalibrationDraw& draw) const;

  /// The names of what save_calibration and save_layer write.
  static std::vector<std::string> calibration_files();
  static std::vector<std::string> layer_files(int64_t index);

  /// A file of this name beside the layers.
  std::filesystem::path file(const std::string& name) const { return folder_ / name; }
  bool has_layer(int64_t index) const;
  std::filesystem::path layer_file(int64_t index) const;
  void save_layer(int64_t index, const QuantizedLayer& layer) const;
  /// What layer_file leads to from now on, in this run: the layer after end-to-end tuning.
  void save_tuned_layer(int64_t index, const QuantizedLayer& layer);
  /// Without `sets`, `kept`, `errors` and `seconds`.
  QuantizedLayer load_layer(int64_t index) const;
  /// What is reported of a finished layer: "sets" with names and losses, "linears" with their measures, its "replaced"
  /// tensors and "kept" linears, "errors" of the streams behind it, "seconds".
  Json layer_report(int64_t index) const;

  /// Removes the work folder: the output is complete.
  void finish() const;

 private:
  std::filesystem::path report_file(int64_t index) const;
  void write_layer(const std::filesystem::path& file, const QuantizedLayer& layer) const;

  std::filesystem::path folder_;
  QuantizationConfig quantization_;
  const QuantizationFormat& format_;
  std::set<int64_t> tuned_;
};

}  // namespace paro::calib
