#include "io/gguf.h"

#include <algorithm>
#include <bit>

#include "base/error.h"
#include "io/gguf_reader.h"
#include "io/gguf_types.h"

namespace paro {
namespace {

constexpr int64_t kMaxDimensions = 4;
constexpr int64_t kMaxAlignment = 1 << 20;
// Least bytes in the file: name length, number of dimensions, type, offset; key length, type, value.
constexpr size_t kLeastTensorBytes = 24;
constexpr size_t kLeastPairBytes = 13;

struct FoundTensor {
  TensorInfo info;
  int64_t offset = 0;  // from the start of the data
  const GgufType* type = nullptr;
};

void check_magic(GgufReader& reader) {
  const auto magic = reader.number<uint32_t>("\"GGUF\"");
  if (magic != 0x46554747u) fail_input("{}: not a GGUF file", reader.place());
  const auto version = reader.number<uint32_t>("version");
  if (version != 0 && (version & 0xffffu) == 0)
    fail_input("{}: big-endian GGUF files are not supported", reader.place());
  if (version != 2 && version != 3) fail_input("{}: expected GGUF version 2 or 3, found {}", reader.place(), version);
}

FoundTensor read_tensor_info(GgufReader& reader) {
  FoundTensor found;
  found.info.name = reader.text("tensor name");
  const std::string& name = found.info.name;
  const auto dimensions = reader.number<uint32_t>("number of dimensions");
  if (dimensions > kMaxDimensions)
    fail_input("{}: tensor \"{}\": expected at most {} dimensions, found {}", reader.place(), name, kMaxDimensions,
               dimensions);
  int64_t elements = 1;
  for (uint32_t i = 0; i < dimensions; ++i) {
    const auto length = reader.number<uint64_t>("dimension");
    if (length == 0 || length > static_cast<uint64_t>(INT64_MAX) ||
        __builtin_mul_overflow(elements, static_cast<int64_t>(length), &elements))
      fail_input("{}: tensor \"{}\": dimension {} of {} is out of range", reader.place(), name, i, length);
    found.info.shape.insert(found.info.shape.begin(), static_cast<int64_t>(length));
  }
  const auto type_id = reader.number<uint32_t>("tensor type");
  found.type = find_gguf_type(type_id);
  if (found.type == nullptr)
    fail_input("{}: tensor \"{}\": type {} is not supported", reader.place(), name, gguf_type_text(type_id));
  const int64_t row = found.info.shape.empty() ? 1 : found.info.shape.back();
  if (row % found.type->block != 0)
    fail_input("{}: tensor \"{}\": expected rows of whole {} blocks of {}, found rows of {}", reader.place(), name,
               found.type->name, found.type->block, row);
  if (__builtin_mul_overflow(elements / found.type->block, found.type->block_bytes, &found.info.stored_bytes))
    fail_input("{}: tensor \"{}\": shape {} is too large", reader.place(), name, shape_text(found.info.shape));
  found.info.dtype = found.type->dtype;
  found.info.stored_type = found.type->name;
  const auto offset = reader.number<uint64_t>("tensor offset");
  if (offset > static_cast<uint64_t>(INT64_MAX))
    fail_input("{}: tensor \"{}\": offset {} is out of range", reader.place(), name, offset);
  found.offset = static_cast<int64_t>(offset);
  return found;
}

void check_layout(std::vector<FoundTensor>& found, int64_t data_bytes, int64_t alignment, const std::string& place) {
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
  int64_t end = 0;
  for (const auto& [info, offset, type] : found) {
    if (offset % alignment != 0)
      fail_input("{}: tensor \"{}\": expected an offset that is a multiple of {}, found {}", place, info.name,
                 alignment, offset);
    if (info.stored_bytes > data_bytes || offset > data_bytes - info.stored_bytes)
      fail_input("{}: tensor \"{}\": its {} bytes at offset {} reach beyond the {} bytes of data (truncated?)", place,
                 info.name, info.stored_bytes, offset, data_bytes);
    if (offset < end) fail_input("{}: tensor \"{}\": its data overlaps another tensor's", place, info.name);
    end = offset + info.stored_bytes;
  }
}

}  // namespace

std::unique_ptr<GgufFile> GgufFile::open(const std::filesystem::path& path) {
  std::unique_ptr<GgufFile> result(new GgufFile);
  result->file_ = MappedFile::open(path);
  const std::span<const std::byte> bytes = result->file_->bytes();
  GgufReader reader(bytes, path.string());
  check_magic(reader);
  const auto claimed_tensors = reader.number<uint64_t>("number of tensors");
  const auto claimed_pairs = reader.number<uint64_t>("number of metadata pairs");
  const int64_t tensors = reader.count(claimed_tensors, kLeastTensorBytes, "tensors");
  result->metadata_ = reader.metadata(reader.count(claimed_pairs, kLeastPairBytes, "metadata pairs"));
  if (const int64_t parts = result->integer("split.count", 1); parts > 1)
    fail_input("{}: one of {} parts of a split GGUF; merge them into one file first", path.string(), parts);
  const int64_t alignment = result->integer("general.alignment", 32);
  if (alignment < 1 || alignment > kMaxAlignment || !std::has_single_bit(static_cast<uint64_t>(alignment)))
    fail_input("{}: general.alignment: expected a power of two up to {}, found {}", path.string(), kMaxAlignment,
               alignment);

  std::vector<FoundTensor> found;
  for (int64_t i = 0; i < tensors; ++i) found.push_back(read_tensor_info(reader));
  const auto size = static_cast<int64_t>(bytes.size());
  const int64_t head = static_cast<int64_t>(reader.position());
  const int64_t start = std::min((head + alignment - 1) / alignment * alignment, size);
  check_layout(found, size - start, alignment, path.string());
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.info.name < b.info.name; });
  for (FoundTensor& tensor : found) {
    if (!result->infos_.empty() && result->infos_.back().name == tensor.info.name)
      fail_input("{}: tensor \"{}\" is there twice", path.string(), tensor.info.name);
    result->infos_.push_back(std::move(tensor.info));
    result->offsets_.push_back(start + tensor.offset);
    result->types_.push_back(tensor.type->id);
  }
  return result;
}

LoadedTensor GgufFile::load(std::string_view name) const {
  const TensorInfo& info = require(name);
  const size_t index = static_cast<size_t>(&info - infos_.data());
  const GgufType* type = find_gguf_type(types_[index]);
  const std::byte* data = file_->bytes().data() + offsets_[index];
  TensorView view{info.dtype, info.shape, data};
  const bool aligned = reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(dtype_size(info.dtype)) == 0;
  if (type->dequantize == nullptr && aligned) return {view, file_};
  const std::shared_ptr<std::byte[]> memory(new std::byte[static_cast<size_t>(view.bytes())]);
  view.data = memory.get();
  if (type->dequantize == nullptr) {
    std::memcpy(memory.get(), data, static_cast<size_t>(info.stored_bytes));
  } else {
    type->dequantize(data, view.elements() / type->block, reinterpret_cast<float*>(memory.get()));
  }
  return {view, memory};
}

void GgufFile::read_rows_f32(const TensorInfo& info, int64_t first, int64_t rows, float* out) const {
  const size_t index = static_cast<size_t>(&info - infos_.data());
  PARO_CHECK(index < infos_.size());
  const int64_t width = info.shape.empty() ? 1 : info.shape.back();
  const GgufType* type = find_gguf_type(types_[index]);
  const int64_t row_bytes = width / type->block * type->block_bytes;
  const std::byte* data = file_->bytes().data() + offsets_[index] + first * row_bytes;
  PARO_CHECK(first >= 0 && rows >= 0 && (first + rows) * row_bytes <= info.stored_bytes);
  if (type->dequantize != nullptr) {
    type->dequantize(data, rows * (width / type->block), out);
  } else {
    copy_as_f32({info.dtype, {rows, width}, data}, 0, rows * width, out);
  }
}

}  // namespace paro
