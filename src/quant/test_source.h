// For tests: tensors in memory, taken from what would be written to a file, open to spoiling.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/safetensors.h"
#include "io/weight_source.h"

namespace paro {

class MemorySource : public WeightSource {
 public:
  void add(const std::vector<TensorToWrite>& tensors) {
    for (const TensorToWrite& tensor : tensors) {
      std::vector<std::byte> bytes;
      tensor.write([&](const void* data, size_t size) {
        const auto* from = static_cast<const std::byte*>(data);
        bytes.insert(bytes.end(), from, from + size);
      });
      set(tensor.name, tensor.dtype, tensor.shape, std::move(bytes));
    }
  }
  template <typename T>
  void add(const std::string& name, DType dtype, const std::vector<int64_t>& shape, const std::vector<T>& values) {
    std::vector<std::byte> bytes(values.size() * sizeof(T));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    set(name, dtype, shape, std::move(bytes));
  }
  void remove(const std::string& name) {
    bytes_.erase(name);
    std::erase_if(infos_, [&](const TensorInfo& info) { return info.name == name; });
  }
  TensorInfo& info(const std::string& name) { return const_cast<TensorInfo&>(require(name)); }
  std::vector<std::byte>& bytes(const std::string& name) { return bytes_.at(name); }
  template <typename T>
  T value(const std::string& name, size_t index) {
    T result;
    std::memcpy(&result, bytes(name).data() + index * sizeof(T), sizeof(T));
    return result;
  }
  template <typename T>
  void set_value(const std::string& name, size_t index, T value) {
    std::memcpy(bytes(name).data() + index * sizeof(T), &value, sizeof(T));
  }

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  LoadedTensor load(std::string_view name) const override {
    const TensorInfo& found = require(name);
    return {{found.dtype, found.shape, bytes_.at(found.name).data()}, nullptr};
  }
  std::string place(std::string_view) const override { return "model.safetensors"; }

 private:
  void set(const std::string& name, DType dtype, const std::vector<int64_t>& shape, std::vector<std::byte> bytes) {
    remove(name);
    TensorInfo added;
    added.name = name;
    added.dtype = dtype;
    added.shape = shape;
    infos_.push_back(added);
    std::sort(infos_.begin(), infos_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    bytes_[name] = std::move(bytes);
  }
  std::vector<TensorInfo> infos_;
  std::map<std::string, std::vector<std::byte>> bytes_;
};

/// The message of the Error that `body` throws.
template <typename Body>
std::string error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

}  // namespace paro
