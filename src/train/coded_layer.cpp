#include "train/coded_layer.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <set>

#include "base/dtype.h"
#include "base/error.h"
#include "calib/replaced_source.h"

namespace paro::train {
namespace {

at::Tensor codes_of(const Paro4Weight& weight, at::Device device) {
  const int64_t groups = weight.in / weight.group_size;
  // Less the zero point codes of 8 bits need one bit more.
  std::vector<int16_t> codes(weight.codes.size());
  for (size_t i = 0; i < codes.size(); ++i) {
    const int64_t row = static_cast<int64_t>(i) / weight.in, input = static_cast<int64_t>(i) % weight.in;
    const auto group = static_cast<size_t>(row * groups + input / weight.group_size);
    codes[i] = static_cast<int16_t>(weight.codes[i] - weight.zeros[group]);
  }
  return at::from_blob(codes.data(), {weight.out, weight.in}, at::TensorOptions(at::kShort))
      .to(at::TensorOptions(device).dtype(weight.bits > 4 ? at::kShort : at::kChar), false, true);
}

Change change_of(const at::Tensor& base, bool relative) { return {base, at::zeros_like(base), relative}; }

}  // namespace

CodedLayer::CodedLayer(const ModelConfig& config, int64_t index, const Rope& rope, const WeightSource& source,
                       calib::QuantizedLayer quantized, const calib::TunedParameters& tuned, bool relative,
                       at::Device device)
    : source_(source), quantized_(std::move(quantized)) {
  TorchWeightFactory factory(device);
  const calib::ReplacedSource replaced(source, quantized_.replaced);
  layer_ = load_layer(config, index, rope, replaced, factory);
  std::vector<const PairRotation*> known;
  std::set<std::string> norms;
  for (const LinearSlot& slot : layer_->linear_slots()) {
    if (slot.source.norm) norms.insert(slot.source.name);
    const auto found = std::find_if(quantized_.weights.begin(), quantized_.weights.end(),
                                    [&](const calib::NamedWeight& named) { return named.name == slot.name; });
    if (found == quantized_.weights.end()) continue;
    const Paro4Weight& weight = found->weight;
    PARO_CHECK(weight.order.empty());
    const auto same =
        std::find_if(known.begin(), known.end(), [&](const PairRotation* other) { return *other == *weight.rotation; });
    const auto rotation = static_cast<size_t>(same - known.begin());
    if (same == known.end()) {
      known.push_back(weight.rotation.get());
      const bool online = !is_identity(*weight.rotation);
      rotations_.push_back(std::make_unique<InputRotation>(*weight.rotation, online && tuned.channels, device));
      const std::vector<at::Tensor> parameters = rotations_.back()->parameters();
      for (const at::Tensor& parameter : parameters) {
        const bool angles = rotations_.back()->rotates() && parameter.is_same(rotations_.back()->theta());
        if (angles ? tuned.angles : tuned.channels && online) rotation_parameters_.push_back(parameter);
      }
      rotations_.back()->prepare();
    }
    auto* linear = dynamic_cast<TorchLinear*>(slot.weight->get());
    PARO_CHECK(linear != nullptr);
    const at::Tensor scale = to_device(weight.scales, {weight.out, weight.in / weight.group_size}, device);
    coded_.push_back({static_cast<size_t>(found - quantized_.weights.begin()), linear, codes_of(weight, device),
                      change_of(scale, relative), rotation});
    if (tuned.scales) changes_.push_back(coded_.back().scale.change);
  }
  if (!tuned.norms) return;
  for (const std::string& name : norms) {
    TorchVector* vector = factory.vectors().at(name);
    norms_.push_back({name + ".weight", vector, change_of(vector->values, true)});
    changes_.push_back(norms_.back().weight.change);
  }
}

void CodedLayer::refresh() {
  if (!rotation_parameters_.empty())
    for (const auto& rotation : rotations_) rotation->prepare();
  for (const Coded& coded : coded_)
    coded.linear->weight = rotations_[coded.rotation]->from_rotated(scaled_codes(coded.codes, coded.scale.value()));
  for (const Normed& norm : norms_) norm.vector->values = norm.weight.value();
}

calib::QuantizedLayer CodedLayer::store() {
  const c10::NoGradGuard no_gradients;
  calib::QuantizedLayer result = quantized_;
  std::vector<std::shared_ptr<const PairRotation>> stored(rotations_.size());
  if (!rotation_parameters_.empty())
    for (size_t i = 0; i < stored.size(); ++i)
      if (rotations_[i]->rotates()) stored[i] = rotations_[i]->store();
  for (const Coded& coded : coded_) {
    calib::NamedWeight& named = result.weights[coded.index];
    const at::Tensor scale = coded.scale.value().to(at::kHalf).to(at::kFloat);
    if (!scale.isfinite().all().item<bool>())
      fail_input("\"{}\": tuning gave scales that are not finite or beyond F16; use a lower --tune-rate", named.name);
    named.weight.scales = to_host(scale);
    if (stored[coded.rotation] != nullptr) named.weight.rotation = stored[coded.rotation];
    coded.linear->weight = stored_weight(named.weight, scale.device());
    // As written; what is loaded is rounded, too.
    if (!named.weight.bias.empty())
      coded.linear->bias = to_device(named.weight.bias, {named.weight.out}, scale.device());
  }
  for (const Normed& norm : norms_) {
    calib::ReplacedTensor tensor = {norm.name, source_.require(norm.name).shape, to_host(norm.weight.value())};
    calib::round_to_f16(tensor, source_);
    norm.vector->values = to_device(tensor.values, norm.weight.base.sizes(), norm.weight.base.device());
    std::erase_if(result.replaced, [&](const calib::ReplacedTensor& other) { return other.name == norm.name; });
    result.replaced.push_back(std::move(tensor));
  }
  return result;
}

}  // namespace paro::train
