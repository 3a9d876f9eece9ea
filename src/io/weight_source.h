// Named tensors from wherever they lie (safetensors shards, a GGUF file, memory in tests): what model loading and
// quantizing read from. Knows no model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor.h"

namespace paro {

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;   // as read (a dequantized GGUF tensor is kF16 or kF32 here)
  std::vector<int64_t> shape;  // row-major, as in PyTorch: a linear is [out, in]
  int64_t stored_bytes = 0;    // in the file
  std::string stored_type;     // the file's own name of the type: "F16", "Q4_1", ...
};

/// The bytes of a tensor; `owner` keeps them alive (a mapping, or memory they were converted into).
struct LoadedTensor {
  TensorView view;
  std::shared_ptr<const void> owner;
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// All tensors, sorted by name.
  virtual const std::vector<TensorInfo>& tensors() const = 0;
  /// Reads one tensor (mapped where the bytes can be used as they are). Throws Error{kInput} naming file and tensor
  /// when it is missing. Thread-safe.
  virtual LoadedTensor load(std::string_view name) const = 0;
  /// Hints about memory, for tensors that a mapped file holds; others are left as they are. A tensor is about to be
  /// read whole; it has been, and its pages may leave memory (they come back when it is read again).
  virtual void will_read(std::string_view) const {}
  virtual void was_read(std::string_view) const {}
  /// The files that the tensors lie in; empty when it is not files alone.
  virtual std::vector<std::filesystem::path> files() const { return {}; }
  /// The file a tensor lies in: for error messages.
  virtual std::string place(std::string_view name) const = 0;

  /// nullptr when there is no such tensor.
  const TensorInfo* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  /// find or Error{kInput}; with a shape, also checks it (expected and found in the message).
  const TensorInfo& require(std::string_view name) const;
  const TensorInfo& require(std::string_view name, const std::vector<int64_t>& shape) const;
  /// Whole tensor as f32; finite values only, else Error{kInput}.
  std::vector<float> load_f32(std::string_view name) const;
};

}  // namespace paro
