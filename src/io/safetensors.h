// The safetensors format: reading (memory-mapped, everything validated first) and writing.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "io/weight_source.h"

namespace paro {

/// One file. Validates header length, JSON, types, shapes, offsets (inside the file, without overlap or holes).
class SafetensorsFile : public WeightSource {
 public:
  static std::unique_ptr<SafetensorsFile> open(const std::filesystem::path& path);
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  LoadedTensor load(std::string_view name) const override;
  void will_read(std::string_view name) const override;
  void was_read(std::string_view name) const override;
  std::vector<std::filesystem::path> files() const override { return {file_->path()}; }
  std::string place(std::string_view) const override { return file_->path().string(); }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  std::span<const std::byte> bytes_of(const TensorInfo& info) const;

  std::shared_ptr<const MappedFile> file_;
  std::vector<TensorInfo> infos_;
  std::vector<int64_t> offsets_;  // of each tensor, from the start of the file
  std::map<std::string, std::string> metadata_;
};

/// A checkpoint folder's model.safetensors, or its shards by model.safetensors.index.json (every entry inside the
/// folder; tensors of the index must be in the shard it names).
std::unique_ptr<WeightSource> open_safetensors_folder(const std::filesystem::path& folder);

/// A tensor to write: `write` is called once with a sink for exactly the tensor's bytes.
struct TensorToWrite {
  std::string name;
  DType dtype = DType::kF16;
  std::vector<int64_t> shape;
  std::function<void(const std::function<void(const void*, size_t)>& sink)> write;
};

/// A tensor as its source has it, loaded when it is written.
TensorToWrite copied_tensor(std::shared_ptr<const WeightSource> source, const TensorInfo& info);

/// Writes one file atomically, metadata {"format": "pt"}; wide element types first (so that each tensor is aligned),
/// otherwise in the order given: `write` is called in that order.
void write_safetensors(const std::filesystem::path& path, const std::vector<TensorToWrite>& tensors);

/// Writes model.safetensors, or shards of at most `shard_bytes` with an index, into `folder`. All or nothing: no file
/// takes its name before all are written. Throws Error{kLimit} when the disk is full.
void write_safetensors_folder(const std::filesystem::path& folder, const std::vector<TensorToWrite>& tensors,
                              int64_t shard_bytes = int64_t{5} << 30);

}  // namespace paro
