#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "io/safetensors.h"

namespace paro {
namespace {

using Tensors = std::vector<const TensorToWrite*>;

int64_t bytes_of(const TensorToWrite& tensor) {
  int64_t bytes = dtype_size(tensor.dtype);
  for (const int64_t dimension : tensor.shape) bytes *= dimension;
  return bytes;
}

/// Wide types first: the format allows no padding, and readers want each tensor aligned to its element.
void order_for_alignment(Tensors& tensors) {
  std::stable_sort(tensors.begin(), tensors.end(), [](const TensorToWrite* a, const TensorToWrite* b) {
    return dtype_size(a->dtype) > dtype_size(b->dtype);
  });
}

std::string header_of(const Tensors& tensors) {
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  int64_t offset = 0;
  for (const TensorToWrite* tensor : tensors) {
    PARO_CHECK(!header.contains(tensor->name));
    const int64_t end = offset + bytes_of(*tensor);
    header[tensor->name] = {
        {"dtype", dtype_name(tensor->dtype)}, {"shape", tensor->shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = dump_json(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

/// Everything but the rename.
std::unique_ptr<AtomicFile> write_uncommitted(const std::filesystem::path& path, Tensors tensors) {
  order_for_alignment(tensors);
  auto file = std::make_unique<AtomicFile>(path);
  const std::string header = header_of(tensors);
  const uint64_t header_bytes = header.size();
  file->write(&header_bytes, sizeof header_bytes);
  file->write(header);
  for (const TensorToWrite* tensor : tensors) {
    int64_t left = bytes_of(*tensor);
    tensor->write([&](const void* data, size_t size) {
      left -= static_cast<int64_t>(size);
      PARO_CHECK(left >= 0);
      file->write(data, size);
    });
    PARO_CHECK(left == 0);
  }
  return file;
}

std::vector<Tensors> split_into_shards(const std::vector<TensorToWrite>& tensors, int64_t shard_bytes) {
  std::vector<Tensors> shards(1);
  int64_t filled = 0;
  for (const TensorToWrite& tensor : tensors) {
    const int64_t bytes = bytes_of(tensor);
    if (!shards.back().empty() && filled + bytes > shard_bytes) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().push_back(&tensor);
    filled += bytes;
  }
  return shards;
}

void remove_all_of(const std::vector<std::filesystem::path>& paths) {
  std::error_code ignored;
  for (const std::filesystem::path& path : paths) std::filesystem::remove(path, ignored);
}

}  // namespace

TensorToWrite copied_tensor(std::shared_ptr<const WeightSource> source, const TensorInfo& info) {
  return {info.name, info.dtype, info.shape,
          [source = std::move(source), info](const std::function<void(const void*, size_t)>& sink) {
            const LoadedTensor tensor = source->load(info.name);
            sink(tensor.view.data, static_cast<size_t>(tensor.view.bytes()));
          }};
}

void write_safetensors(const std::filesystem::path& path, const std::vector<TensorToWrite>& tensors) {
  Tensors all;
  for (const TensorToWrite& tensor : tensors) all.push_back(&tensor);
  write_uncommitted(path, std::move(all))->commit();
}

void write_safetensors_folder(const std::filesystem::path& folder, const std::vector<TensorToWrite>& tensors,
                              int64_t shard_bytes) {
  make_writable_folder(folder);
  const std::filesystem::path single = folder / "model.safetensors";
  const std::filesystem::path index_path = folder / "model.safetensors.index.json";
  const std::vector<Tensors> shards = split_into_shards(tensors, shard_bytes);
  if (shards.size() == 1) {
    write_uncommitted(single, shards[0])->commit();
    remove_all_of({index_path});
    return;
  }
  Json weight_map = Json::object();
  int64_t total = 0;
  std::vector<std::filesystem::path> paths;
  std::vector<std::unique_ptr<AtomicFile>> files;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    for (const TensorToWrite* tensor : shards[i]) {
      weight_map[tensor->name] = name;
      total += bytes_of(*tensor);
    }
    paths.push_back(folder / name);
    files.push_back(write_uncommitted(paths.back(), shards[i]));
  }
  // Nothing takes its name before everything is written; a failure in between leaves no part behind.
  try {
    for (const std::unique_ptr<AtomicFile>& file : files) file->commit();
    const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", std::move(weight_map)}};
    write_file(index_path, dump_json(index, 2) + "\n");
  } catch (...) {
    remove_all_of(paths);
    throw;
  }
  remove_all_of({single});
}

}  // namespace paro
