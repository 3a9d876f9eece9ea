#include "io/safetensors.h"

#include <cstring>

#include "base/error.h"
#include "base/json.h"
#include "io/checkpoint.h"
#include "io/safetensors_header.h"

namespace paro {
namespace {

constexpr int64_t kMaxHeaderBytes = 100'000'000;  // as the reference implementation
constexpr const char* kSingleName = "model.safetensors";
constexpr const char* kIndexName = "model.safetensors.index.json";

/// The tensors of several files, each found through the index.
class ShardedSource : public WeightSource {
 public:
  ShardedSource(const std::filesystem::path& folder, const Json& index, const std::string& place) : index_(place) {
    if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object())
      fail_input("{}: expected an object \"weight_map\"", place);
    std::map<std::string, size_t> shard_of_file;
    std::map<std::string, size_t> shard_of_tensor;
    for (const auto& [name, file] : index["weight_map"].items()) {
      if (!file.is_string())
        fail_input("{}: tensor \"{}\": expected a file name, found {}", place, name, json_kind(file));
      const std::string entry = file.get<std::string>();
      const auto [it, is_new] = shard_of_file.try_emplace(entry, shards_.size());
      if (is_new) shards_.push_back(open_shard(folder, entry));
      shard_of_tensor[name] = it->second;
    }
    for (const auto& [name, shard] : shard_of_tensor) {
      const TensorInfo* info = shards_[shard]->find(name);
      if (info == nullptr)
        fail_input("{}: tensor \"{}\": expected in {}, which does not hold it", place, name,
                   shards_[shard]->place(name));
      infos_.push_back(*info);
      shard_of_info_.push_back(shard);
    }
  }

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  LoadedTensor load(std::string_view name) const override {
    require(name);
    return shard_of(name)->load(name);
  }
  void will_read(std::string_view name) const override {
    if (const SafetensorsFile* shard = shard_of(name)) shard->will_read(name);
  }
  void was_read(std::string_view name) const override {
    if (const SafetensorsFile* shard = shard_of(name)) shard->was_read(name);
  }
  std::vector<std::filesystem::path> files() const override {
    std::vector<std::filesystem::path> files;
    for (const auto& shard : shards_) files.push_back(shard->files()[0]);
    return files;
  }
  std::string place(std::string_view name) const override {
    const SafetensorsFile* shard = shard_of(name);
    return shard == nullptr ? index_ : shard->place(name);
  }

 private:
  /// nullptr when there is no such tensor.
  const SafetensorsFile* shard_of(std::string_view name) const {
    const TensorInfo* info = find(name);
    return info == nullptr ? nullptr : shards_[shard_of_info_[static_cast<size_t>(info - infos_.data())]].get();
  }
  std::unique_ptr<SafetensorsFile> open_shard(const std::filesystem::path& folder, const std::string& entry) const {
    const std::filesystem::path path = resolve_inside(folder, entry);
    std::error_code code;
    if (!std::filesystem::exists(path, code)) fail_input("{}: names \"{}\", which is missing", index_, entry);
    return SafetensorsFile::open(path);
  }

  std::string index_;
  std::vector<std::unique_ptr<SafetensorsFile>> shards_;
  std::vector<TensorInfo> infos_;
  std::vector<size_t> shard_of_info_;
};

}  // namespace

std::unique_ptr<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  std::unique_ptr<SafetensorsFile> result(new SafetensorsFile);
  result->file_ = MappedFile::open(path);
  const std::span<const std::byte> bytes = result->file_->bytes();
  const std::string place = path.string();
  if (bytes.size() < 8) fail_input("{}: expected a safetensors header, found {} bytes", place, bytes.size());
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  if (header_bytes > static_cast<uint64_t>(kMaxHeaderBytes) || header_bytes > bytes.size() - 8)
    fail_input("{}: not a safetensors file, or truncated: header of {} bytes in a file of {}", place, header_bytes,
               bytes.size());
  const auto size = static_cast<int64_t>(header_bytes);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, static_cast<size_t>(size));
  const int64_t data_start = 8 + size;
  SafetensorsHeader header = parse_safetensors_header(text, static_cast<int64_t>(bytes.size()) - data_start, place);
  result->infos_.reserve(header.entries.size());
  for (SafetensorsHeader::Entry& entry : header.entries) {
    result->infos_.push_back(std::move(entry.info));
    result->offsets_.push_back(data_start + entry.begin);
  }
  result->metadata_ = std::move(header.metadata);
  return result;
}

std::span<const std::byte> SafetensorsFile::bytes_of(const TensorInfo& info) const {
  return file_->bytes().subspan(static_cast<size_t>(offsets_[static_cast<size_t>(&info - infos_.data())]),
                                static_cast<size_t>(info.stored_bytes));
}

void SafetensorsFile::will_read(std::string_view name) const {
  if (const TensorInfo* info = find(name)) file_->will_read(bytes_of(*info));
}

void SafetensorsFile::was_read(std::string_view name) const {
  if (const TensorInfo* info = find(name)) file_->was_read(bytes_of(*info));
}

LoadedTensor SafetensorsFile::load(std::string_view name) const {
  const TensorInfo& info = require(name);
  const std::byte* data = bytes_of(info).data();
  const auto alignment = static_cast<uintptr_t>(dtype_size(info.dtype));
  if (reinterpret_cast<uintptr_t>(data) % alignment == 0) return {{info.dtype, info.shape, data}, file_};
  // The format does not promise alignment; kernels need it.
  const std::shared_ptr<std::byte[]> copy(new std::byte[static_cast<size_t>(info.stored_bytes)]);
  std::memcpy(copy.get(), data, static_cast<size_t>(info.stored_bytes));
  return {{info.dtype, info.shape, copy.get()}, copy};
}

std::unique_ptr<WeightSource> open_safetensors_folder(const std::filesystem::path& folder) {
  std::error_code code;
  const std::filesystem::path single = resolve_inside(folder, kSingleName);
  if (std::filesystem::exists(single, code)) return SafetensorsFile::open(single);
  const std::filesystem::path index = resolve_inside(folder, kIndexName);
  if (std::filesystem::exists(index, code))
    return std::make_unique<ShardedSource>(folder, read_json(index), index.string());
  fail_input("{}: expected {} or {}, found neither", folder.string(), kSingleName, kIndexName);
}

}  // namespace paro
