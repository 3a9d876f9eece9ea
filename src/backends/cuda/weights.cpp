#include "backends/cuda/weights.h"

#include <vector>

#include "backends/cuda/cuda_ops.h"
#include "base/error.h"

namespace paro {
namespace {

int64_t size_of(DeviceType type) { return type == DeviceType::kF32 ? 4 : 2; }

class CudaWeightFactory : public WeightFactory {
 public:
  explicit CudaWeightFactory(const CudaContext& context) : context_(context) {}

  std::unique_ptr<Linear> linear(const WeightSource& source, const std::string& name, int64_t out, int64_t in,
                                 bool bias) override {
    if (source.has(name + ".qweight"))
      fail_input("{}: \"{}\" is quantized: expected full precision on a CUDA device", source.place(name + ".qweight"),
                 name);
    source.require(name + ".weight", {out, in});
    if (bias) source.require(name + ".bias", {out});
    auto made = make_cuda_linear(context_, DeviceValues(context_, source, name + ".weight"), out, in,
                                 bias ? source.load_f32(name + ".bias") : std::vector<float>{});
    made->name = name;
    return made;
  }

  std::unique_ptr<Embedding> embedding(const WeightSource& source, const std::string& name, int64_t vocab,
                                       int64_t dim) override {
    source.require(name + ".weight", {vocab, dim});
    auto made = std::make_unique<CudaEmbedding>(DeviceValues(context_, source, name + ".weight"));
    made->vocab = vocab;
    made->dim = dim;
    return made;
  }

  std::unique_ptr<Vector> vector(const WeightSource& source, const std::string& name, int64_t dim) override {
    source.require(name + ".weight", {dim});
    auto made = std::make_unique<CudaVector>();
    made->dim = dim;
    made->values = DeviceArray<float>(context_, dim);
    made->values.from_host(source.load_f32(name + ".weight").data());
    return made;
  }

 private:
  const CudaContext& context_;
};

}  // namespace

DeviceValues::DeviceValues(const CudaContext& context, DeviceType type, int64_t count)
    : type_(type), count_(count), bytes_(context, count * size_of(type)) {}

DeviceValues::DeviceValues(const CudaContext& context, const WeightSource& source, const std::string& name) {
  const LoadedTensor loaded = source.load(name);
  switch (loaded.view.dtype) {
    case DType::kF16: type_ = DeviceType::kF16; break;
    case DType::kBF16: type_ = DeviceType::kBF16; break;
    case DType::kF32:
    case DType::kF64: type_ = DeviceType::kF32; break;
    default:
      fail_input("{}: {}: expected F32, F16 or BF16, found {}", source.place(name), name,
                 dtype_name(loaded.view.dtype));
  }
  count_ = 1;
  for (const int64_t extent : loaded.view.shape) count_ *= extent;
  bytes_ = DeviceArray<std::byte>(context, count_ * size_of(type_));
  if (loaded.view.dtype == DType::kF64)
    bytes_.from_host(reinterpret_cast<const std::byte*>(source.load_f32(name).data()));
  else
    bytes_.from_host(loaded.view.data);
}

DeviceArray<float> DeviceValues::widened(const CudaContext& context) const {
  DeviceArray<float> values(context, count_);
  launch_widen(context.stream(), data(), type_, count_, values.data());
  cuda_check(cudaGetLastError(), "widening a tensor");
  return values;
}

std::unique_ptr<CudaLinear> make_cuda_linear(const CudaContext& context, DeviceValues weight, int64_t out, int64_t in,
                                             const std::vector<float>& bias) {
  PARO_CHECK(weight.count() == out * in);
  auto made = std::make_unique<CudaLinear>(std::move(weight));
  made->out = out;
  made->in = in;
  if (!bias.empty()) {
    PARO_CHECK(static_cast<int64_t>(bias.size()) == out);
    made->bias = DeviceArray<float>(context, out);
    made->bias.from_host(bias.data());
  }
  return made;
}

std::unique_ptr<WeightFactory> make_cuda_weight_factory(const CudaContext& context) {
  return std::make_unique<CudaWeightFactory>(context);
}

}  // namespace paro
