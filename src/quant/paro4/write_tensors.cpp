#include "quant/paro4/write_tensors.h"

#include <algorithm>

#include "base/dtype.h"
#include "quant/paro4/packing.h"

namespace paro {

std::vector<uint16_t> to_f16(const std::vector<float>& values) {
  std::vector<uint16_t> out(values.size());
  std::transform(values.begin(), values.end(), out.begin(), f32_to_f16);
  return out;
}

TensorToWrite scales_tensor(const std::string& name, std::shared_ptr<const Paro4Weight> weight) {
  const int64_t groups = weight->in / weight->group_size;
  const int64_t out = weight->out;
  return made_tensor(name, DType::kF16, {groups, out}, [weight = std::move(weight), groups, out] {
    std::vector<uint16_t> scales(weight->scales.size());
    for (int64_t o = 0; o < out; ++o)
      for (int64_t g = 0; g < groups; ++g)
        scales[static_cast<size_t>(g * out + o)] = f32_to_f16(weight->scales[static_cast<size_t>(o * groups + g)]);
    return scales;
  });
}

std::vector<TensorToWrite> rotation_tensors(const std::string& name, const std::shared_ptr<const Paro4Weight>& weight) {
  const std::shared_ptr<const Paro4Weight> w = weight;
  const int64_t rounds = w->rotation->rounds;
  std::vector<TensorToWrite> tensors;
  tensors.push_back(
      made_tensor(name + ".theta", DType::kF16, {rounds, w->in / 2}, [w] { return to_f16(w->rotation->theta); }));
  tensors.push_back(made_tensor(name + ".pairs", DType::kI16, {rounds, w->in}, [w] { return w->rotation->pairs; }));
  tensors.push_back(made_tensor(name + ".channel_scales", DType::kF16, {1, w->in},
                                [w] { return to_f16(w->rotation->channel_scales); }));
  return tensors;
}

std::vector<TensorToWrite> nibble_tensors(const std::string& name, const std::shared_ptr<const Paro4Weight>& weight) {
  const std::shared_ptr<const Paro4Weight> w = weight;
  const int64_t groups = w->in / w->group_size;
  std::vector<TensorToWrite> tensors;
  tensors.push_back(made_tensor(name + ".qweight", DType::kI32, {w->in, w->out / 8},
                                [w] { return pack_words(w->codes.data(), w->in, w->out); }));
  tensors.push_back(made_tensor(name + ".qzeros", DType::kI32, {groups, w->out / 8},
                                [w, groups] { return pack_words(w->zeros.data(), groups, w->out); }));
  tensors.push_back(scales_tensor(name + ".scales", w));
  if (!w->bias.empty())
    tensors.push_back(made_tensor(name + ".bias", DType::kF16, {w->out}, [w] { return to_f16(w->bias); }));
  return tensors;
}

}  // namespace paro
