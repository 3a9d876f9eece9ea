// What a run of `paro quantize` leaves behind layer by layer, so that an interrupted one can go on: OUTPUT/.paro-work/
// with the settings, the calibration ids and one safetensors file for each finished layer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <vector>

#include "base/json.h"
#include "calib/layer_quantizer.h"
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

  std::optional<std::vector<int32_t>> load_ids(int64_t count) const;
  void save_ids(const std::vector<int32_t>& ids) const;

  /// A file of this name beside the layers.
  std::filesystem::path file(const std::string& name) const { return folder_ / name; }
  bool has_layer(int64_t index) const;
  std::filesystem::path layer_file(int64_t index) const;
  void save_layer(int64_t index, const QuantizedLayer& layer) const;
  /// What layer_file leads to from now on, in this run: the layer after end-to-end tuning.
  void save_tuned_layer(int64_t index, const QuantizedLayer& layer);
  /// Without `sets` and `kept`.
  QuantizedLayer load_layer(int64_t index) const;
  /// The sets' names and losses of a finished layer, its quantized and its kept linears, its replaced tensors.
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
