#include "backends/cpu/weights.h"

#include <cstdlib>
#include <cstring>

#include "backends/cpu/cpu_ops.h"
#include "base/error.h"

namespace paro {
namespace {

class CpuWeightFactory : public WeightFactory {
 public:
  CpuWeightFactory(const QuantizationConfig& quantization, const LoadHelp& help)
      : quantization_(quantization), help_(help) {}

  std::unique_ptr<Linear> linear(const WeightSource& source, const std::string& name, int64_t out, int64_t in,
                                 bool bias) override {
    return make_cpu_linear(source, name, out, in, bias, quantization_, help_);
  }

  std::unique_ptr<Embedding> embedding(const WeightSource& source, const std::string& name, int64_t vocab,
                                       int64_t dim) override {
    const std::string tensor = name + ".weight";
    if (!source.has(tensor) && is_row_table(source, name))
      return std::make_unique<CpuEmbedding>(read_row_table(source, name, vocab, dim));
    source.require(tensor, {vocab, dim});
    LoadedTensor loaded = source.load(tensor);
    const DType type = loaded.view.dtype;
    if (type == DType::kF64) {
      auto values = std::make_shared<std::vector<float>>(source.load_f32(tensor));
      const auto* data = reinterpret_cast<const std::byte*>(values->data());
      return std::make_unique<CpuEmbedding>(TensorView{DType::kF32, loaded.view.shape, data}, values);
    }
    if (type != DType::kF32 && type != DType::kF16 && type != DType::kBF16)
      fail_input("{}: {}: expected F32, F16 or BF16, found {}", source.place(tensor), tensor, dtype_name(type));
    const auto address = reinterpret_cast<uintptr_t>(loaded.view.data);
    if (address % static_cast<uintptr_t>(dtype_size(type)) != 0) {
      auto copy = std::make_shared<std::vector<std::byte>>(loaded.view.data, loaded.view.data + loaded.view.bytes());
      loaded.view.data = copy->data();
      loaded.owner = copy;
    }
    return std::make_unique<CpuEmbedding>(loaded.view, loaded.owner);
  }

  std::unique_ptr<Vector> vector(const WeightSource& source, const std::string& name, int64_t dim) override {
    const std::string tensor = name + ".weight";
    source.require(tensor, {dim});
    return std::make_unique<CpuVector>(source.load_f32(tensor));
  }

 private:
  QuantizationConfig quantization_;
  LoadHelp help_;
};

}  // namespace

CpuEmbedding::CpuEmbedding(TensorView table, std::shared_ptr<const void> owner)
    : table_(std::move(table)), owner_(std::move(owner)) {
  PARO_CHECK(table_.shape.size() == 2);
  vocab = table_.shape[0];
  dim = table_.shape[1];
}

CpuEmbedding::CpuEmbedding(RowTable table) : quantized_(std::move(table)) {
  vocab = quantized_->rows;
  dim = quantized_->in;
}

void CpuEmbedding::copy_row(const ConvertKernels& kernels, int64_t id, float* out) const {
  if (quantized_) return quantized_->copy_row(id, out);
  const std::byte* row = table_.data + id * row_bytes();
  switch (table_.dtype) {
    case DType::kF16: kernels.f16_to_f32(reinterpret_cast<const uint16_t*>(row), dim, out); return;
    case DType::kBF16: kernels.bf16_to_f32(reinterpret_cast<const uint16_t*>(row), dim, out); return;
    default: std::memcpy(out, row, static_cast<size_t>(dim) * sizeof(float)); return;
  }
}

CpuVector::CpuVector(const std::vector<float>& values) {
  dim = static_cast<int64_t>(values.size());
  const size_t bytes = (values.size() * sizeof(float) + 63) / 64 * 64;
  data_.reset(static_cast<float*>(std::aligned_alloc(64, bytes)));
  if (data_ == nullptr) fail_limit("cannot allocate {} bytes for a vector", bytes);
  std::memcpy(data_.get(), values.data(), values.size() * sizeof(float));
}

void CpuVector::Free::operator()(float* data) const { std::free(data); }

std::unique_ptr<WeightFactory> make_cpu_weight_factory(const QuantizationConfig& quantization, const LoadHelp& help) {
  return std::make_unique<CpuWeightFactory>(quantization, help);
}

}  // namespace paro
