#include "io/gguf_write.h"

#include "base/error.h"
#include "base/files.h"

namespace paro {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint32_t kVersion = 3;
constexpr int64_t kAlignment = 32;  // what a file without general.alignment has

enum ValueType : uint32_t { kUint32 = 4, kInt32 = 5, kFloat32 = 6, kBool = 7, kString = 8, kArray = 9 };

uint32_t tensor_type(DType type) {
  switch (type) {
    case DType::kF32: return 0;
    case DType::kF16: return 1;
    case DType::kBF16: return 30;
    default: PARO_CHECK(!"a type that GGUF files are written with"); return 0;
  }
}

/// The head of the file, little-endian as this machine is.
class Head {
 public:
  template <typename T>
  void number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(const std::string& text) {
    number<uint64_t>(text.size());
    bytes_ += text;
  }

  void value(uint32_t v) { typed(kUint32, v); }
  void value(float v) { typed(kFloat32, v); }
  void value(bool v) { typed(kBool, static_cast<uint8_t>(v)); }
  void value(const std::string& v) {
    number<uint32_t>(kString);
    text(v);
  }
  void value(const std::vector<int32_t>& v) { array(kInt32, v); }
  void value(const std::vector<float>& v) { array(kFloat32, v); }
  void value(const std::vector<std::string>& v) {
    array_head(kString, v.size());
    for (const std::string& item : v) text(item);
  }

  void align() { bytes_.resize((bytes_.size() + kAlignment - 1) / kAlignment * kAlignment); }
  const std::string& bytes() const { return bytes_; }

 private:
  template <typename T>
  void typed(uint32_t type, T v) {
    number(type);
    number(v);
  }
  void array_head(uint32_t type, size_t count) {
    number<uint32_t>(kArray);
    number(type);
    number<uint64_t>(count);
  }
  template <typename T>
  void array(uint32_t type, const std::vector<T>& v) {
    array_head(type, v.size());
    for (const T item : v) number(item);
  }

  std::string bytes_;
};

int64_t bytes_of(const TensorToWrite& tensor) { return TensorView{tensor.dtype, tensor.shape, nullptr}.bytes(); }
int64_t padding_of(int64_t bytes) { return (kAlignment - bytes % kAlignment) % kAlignment; }

}  // namespace

void write_gguf(const std::filesystem::path& path, const GgufMetadata& metadata,
                const std::vector<TensorToWrite>& tensors) {
  Head head;
  head.number(kMagic);
  head.number(kVersion);
  head.number<uint64_t>(tensors.size());
  head.number<uint64_t>(metadata.size());
  for (const auto& [key, value] : metadata) {
    head.text(key);
    std::visit([&](const auto& v) { head.value(v); }, value);
  }
  int64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    head.text(tensor.name);
    head.number(static_cast<uint32_t>(tensor.shape.size()));
    for (size_t i = tensor.shape.size(); i-- > 0;) head.number(static_cast<uint64_t>(tensor.shape[i]));
    head.number(tensor_type(tensor.dtype));
    head.number(static_cast<uint64_t>(offset));
    offset += bytes_of(tensor) + padding_of(bytes_of(tensor));
  }
  head.align();

  AtomicFile file(path);
  file.write(head.bytes());
  const char zeros[kAlignment] = {};
  for (const TensorToWrite& tensor : tensors) {
    int64_t left = bytes_of(tensor);
    tensor.write([&](const void* data, size_t size) {
      left -= static_cast<int64_t>(size);
      PARO_CHECK(left >= 0);
      file.write(data, size);
    });
    PARO_CHECK(left == 0);
    file.write(zeros, static_cast<size_t>(padding_of(bytes_of(tensor))));
  }
  file.commit();
}

}  // namespace paro
