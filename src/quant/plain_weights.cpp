#include "quant/plain_weights.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "model/model.h"
#include "quant/method.h"
#include "quant/paro4/effective.h"
#include "quant/paro4/read_tensors.h"

namespace paro {
namespace {

/// Notes which linears a model asks for, and loads nothing.
class ShapesOnly : public WeightFactory {
 public:
  std::unique_ptr<Linear> linear(const WeightSource& source, const std::string& name, int64_t out, int64_t in,
                                 bool bias) override {
    if (source.has(paro4_names(source, name).qweight)) shapes.push_back({name, out, in, bias});
    auto made = std::make_unique<Stub<Linear>>();
    made->name = name;
    made->out = out;
    made->in = in;
    return made;
  }
  std::unique_ptr<Embedding> embedding(const WeightSource&, const std::string&, int64_t, int64_t) override {
    return std::make_unique<Stub<Embedding>>();
  }
  std::unique_ptr<Vector> vector(const WeightSource&, const std::string&, int64_t dim) override {
    auto made = std::make_unique<Stub<Vector>>();
    made->dim = dim;
    return made;
  }

  std::vector<LinearShape> shapes;

 private:
  template <typename Base>
  struct Stub : Base {};
};

class PlainWeights : public WeightSource {
 public:
  PlainWeights(const ModelConfig& config, std::shared_ptr<const WeightSource> source, DType type, ThreadPool* pool)
      : source_(std::move(source)), quantization_(config.quantization), type_(type), pool_(pool) {
    PARO_CHECK(type == DType::kF16 || type == DType::kBF16);
    for (const LinearShape& linear : quantized_linears(config, *source_)) {
      add(linear.name + ".weight", {linear.out, linear.in});
      if (linear.bias) add(linear.name + ".bias", {linear.out});
      linears_.emplace(linear.name, linear);
    }
    for (const TensorInfo& info : source_->tensors()) {
      if (belongs_to_linear(info.name) || !is_float(info.dtype)) continue;
      if (config.tied_embeddings && info.name == "lm_head.weight") continue;
      if (info.name.ends_with("rotary_emb.inv_freq")) continue;
      add(info.name, info.shape);
    }
    std::sort(infos_.begin(), infos_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  }

  const std::vector<TensorInfo>& tensors() const override { return infos_; }

  std::string place(std::string_view name) const override {
    const LinearShape* linear = linear_of(name);
    return source_->place(linear == nullptr ? std::string(name) : paro4_names(*source_, linear->name).qweight);
  }

  LoadedTensor load(std::string_view name) const override {
    const TensorInfo& info = require(name);
    const LinearShape* linear = linear_of(name);
    if (linear == nullptr && source_->require(name).dtype == type_) return source_->load(name);
    const TensorView shape{type_, info.shape, nullptr};
    const std::shared_ptr<uint16_t[]> halves(new uint16_t[static_cast<size_t>(shape.elements())]);
    if (linear == nullptr) {
      convert(info, halves.get());
    } else {
      const Paro4Weight weight = read_linear(*source_, *linear, quantization_);
      if (info.name.ends_with(".bias"))
        for (int64_t o = 0; o < weight.out; ++o)
          halves[static_cast<size_t>(o)] = round(static_cast<double>(weight.bias[static_cast<size_t>(o)]), info);
      else
        expand(weight, info, halves.get());
    }
    return {{type_, info.shape, reinterpret_cast<const std::byte*>(halves.get())}, halves};
  }

 private:
  void add(const std::string& name, std::vector<int64_t> shape) {
    TensorInfo info{name, type_, std::move(shape), 0, std::string(dtype_name(type_))};
    info.stored_bytes = TensorView{type_, info.shape, nullptr}.bytes();
    infos_.push_back(std::move(info));
  }

  /// The linear whose weight or bias this is.
  const LinearShape* linear_of(std::string_view name) const {
    if (!name.ends_with(".weight") && !name.ends_with(".bias")) return nullptr;
    const auto found = linears_.find(std::string(name.substr(0, name.rfind('.'))));
    return found == linears_.end() ? nullptr : &found->second;
  }

  /// One of the tensors that a quantized linear consists of: "X.qweight", in the older layout "X.qlinear.qweight".
  bool belongs_to_linear(const std::string& name) const {
    const size_t dot = name.rfind('.');
    if (dot == std::string::npos) return false;
    const std::string owner = name.substr(0, dot);
    const size_t inner = owner.rfind('.');
    return linears_.contains(owner) || (inner != std::string::npos && linears_.contains(owner.substr(0, inner)));
  }

  uint16_t round(double value, const TensorInfo& info) const {
    const uint16_t half = type_ == DType::kF16 ? f64_to_f16(value) : f64_to_bf16(value);
    const float back = type_ == DType::kF16 ? f16_to_f32(half) : bf16_to_f32(half);
    if (!std::isfinite(back))
      fail_input("{}: tensor \"{}\": expected values that fit into {}, found {}", place(info.name), info.name,
                 dtype_name(type_), value);
    return half;
  }

  void expand(const Paro4Weight& weight, const TensorInfo& info, uint16_t* out) const {
    const EffectiveWeight effective(weight);
    constexpr int64_t kRows = 16;
    const auto some_rows = [&](int64_t first, int64_t last) {
      std::vector<double> values(static_cast<size_t>(kRows * weight.in));
      for (int64_t row = first; row < last; row += kRows) {
        const int64_t rows = std::min(kRows, last - row);
        effective.rows(row, rows, values.data());
        for (int64_t i = 0; i < rows * weight.in; ++i)
          out[row * weight.in + i] = round(values[static_cast<size_t>(i)], info);
      }
    };
    if (pool_ != nullptr)
      pool_->parallel_for(weight.out, kRows, some_rows);
    else
      some_rows(0, weight.out);
  }

  void convert(const TensorInfo& info, uint16_t* out) const {
    const LoadedTensor tensor = source_->load(info.name);
    constexpr int64_t kPart = int64_t{1} << 16;
    std::vector<float> values(static_cast<size_t>(std::min(kPart, tensor.view.elements())));
    for (int64_t begin = 0; begin < tensor.view.elements(); begin += kPart) {
      const int64_t count = std::min(kPart, tensor.view.elements() - begin);
      copy_as_f32(tensor.view, begin, count, values.data());
      for (int64_t i = 0; i < count; ++i)
        out[begin + i] = round(static_cast<double>(values[static_cast<size_t>(i)]), info);
    }
  }

  std::shared_ptr<const WeightSource> source_;
  QuantizationConfig quantization_;
  DType type_;
  ThreadPool* pool_;
  std::vector<TensorInfo> infos_;
  std::map<std::string, LinearShape> linears_;
};

}  // namespace

std::vector<LinearShape> quantized_linears(const ModelConfig& config, const WeightSource& source) {
  ShapesOnly shapes;
  const auto ends = load_model_ends(config, source, shapes);
  for (int64_t layer = 0; layer < config.layers; ++layer) load_layer(config, layer, *ends->rope, source, shapes);
  return std::move(shapes.shapes);
}

Paro4Weight read_linear(const WeightSource& source, const LinearShape& linear, const QuantizationConfig& config) {
  const QuantizationFormat& format = format_of(config, source.place(paro4_names(source, linear.name).qweight));
  return format.read({source, linear.name, linear.out, linear.in, linear.bias, config});
}

std::shared_ptr<const WeightSource> plain_weights(const ModelConfig& config, std::shared_ptr<const WeightSource> source,
                                                  DType type, ThreadPool* pool) {
  return std::make_shared<PlainWeights>(config, std::move(source), type, pool);
}

}  // namespace paro
