// GGUF v2 and v3: metadata and tensors, dequantized on reading. Names and shapes are GGUF's own (shapes turned to
// row-major order); what they mean for a model family is decided in model/.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/files.h"
#include "io/weight_source.h"

namespace paro {

struct GgufArray;
/// Unsigned and signed integers, floats and bools of every width in the widest of their kind.
using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string, std::shared_ptr<const GgufArray>>;
struct GgufArray {
  std::vector<int64_t> integers;     // for an array of integers or bools
  std::vector<double> numbers;       // of floats
  std::vector<std::string> strings;  // of strings
};

class GgufFile : public WeightSource {
 public:
  static std::unique_ptr<GgufFile> open(const std::filesystem::path& path);
  const std::filesystem::path& path() const { return file_->path(); }
  const std::map<std::string, GgufValue>& metadata() const { return metadata_; }
  /// Typed access: the fallback when the key is absent; Error{kInput} when it has another type.
  int64_t integer(const std::string& key, int64_t fallback) const;
  int64_t integer(const std::string& key) const;
  double number(const std::string& key, double fallback) const;
  bool boolean(const std::string& key, bool fallback) const;
  std::string string(const std::string& key, const std::string& fallback) const;
  /// nullptr when absent.
  const GgufArray* array(const std::string& key) const;

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  /// F32, F16 and BF16 come as they are (mapped); quantized types are dequantized to F32.
  LoadedTensor load(std::string_view name) const override;
  /// Rows [first, first + rows) of a tensor of this file as f32, out [rows, last dimension]; for converting a large
  /// tensor piece by piece.
  void read_rows_f32(const TensorInfo& info, int64_t first, int64_t rows, float* out) const;
  std::string place(std::string_view) const override { return file_->path().string(); }

 private:
  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, GgufValue> metadata_;
  std::vector<TensorInfo> infos_;
  std::vector<int64_t> offsets_;  // from the start of the file
  std::vector<uint32_t> types_;
};

}  // namespace paro
