#include "quant/paro4/format.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "quant/paro4/packing.h"
#include "quant/paro4/read_tensors.h"

namespace paro {
namespace {

// Channel numbers must fit the kernels' bytes, and int8 sums over a group 16 bits.
constexpr int64_t kMaxGroup = 128;

// value = q s - scaled_zero; the scaled zero is s z rounded to 16 bits, so z is recovered by rounding.
void read_scaled_zeros(const WeightSource& source, const Paro4Names& names, Paro4Weight& weight) {
  const int64_t groups = weight.in / weight.group_size;
  const std::vector<float> scaled = load_floats(source, names.zeros, {groups, weight.out});
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t o = 0; o < weight.out; ++o) {
      const float scale = weight.scales[static_cast<size_t>(o * groups + g)];
      const float value = scaled[static_cast<size_t>(g * weight.out + o)];
      const float zero = scale == 0.0f ? 0.0f : value / scale;
      const float rounded = std::nearbyint(zero);
      if (!(rounded >= 0.0f && rounded <= 15.0f) || std::fabs(zero - rounded) > 0.1f)
        fail_input("{}: {}: at [{}, {}]: {} is no zero point 0 to 15 times the scale {}", source.place(names.zeros),
                   names.zeros, g, o, value, scale);
      weight.zeros[static_cast<size_t>(o * groups + g)] = static_cast<uint8_t>(rounded);
    }
  }
}

// A tensor of 16- or 32-bit words that are made when they are written.
template <typename Make>
TensorToWrite tensor(std::string name, DType type, std::vector<int64_t> shape, Make make) {
  return {std::move(name), type, std::move(shape), [make](const std::function<void(const void*, size_t)>& sink) {
            const auto values = make();
            sink(values.data(), values.size() * sizeof(values[0]));
          }};
}

std::vector<uint16_t> as_f16(const std::vector<float>& values) {
  std::vector<uint16_t> out(values.size());
  std::transform(values.begin(), values.end(), out.begin(), f32_to_f16);
  return out;
}

}  // namespace

void check_rotation(const PairRotation& rotation, const std::string& place, const std::string& name) {
  const int64_t g = rotation.group_size;
  if (g < 2 || g > kMaxGroup || g % 2 != 0 || rotation.in % g != 0)
    fail_input("{}: {}: groups of {} channels do not divide {} inputs", place, name, g, rotation.in);
  for (int64_t r = 0; r < rotation.rounds; ++r) {
    for (int64_t begin = 0; begin < rotation.in; begin += g) {
      bool seen[kMaxGroup] = {};
      for (int64_t k = 0; k < g; ++k) {
        const int16_t channel = rotation.pairs[static_cast<size_t>(r * rotation.in + begin + k)];
        if (channel < 0 || channel >= g)
          fail_input("{}: {}: round {}, group {}: expected channels 0 to {}, found {}", place, name, r, begin / g,
                     g - 1, channel);
        if (seen[channel])
          fail_input("{}: {}: round {}, group {}: channel {} is in two pairs; expected each channel in one", place,
                     name, r, begin / g, channel);
        seen[channel] = true;
      }
    }
  }
}

Paro4Weight read_paro4(const WeightSource& source, const std::string& name, int64_t out, int64_t in, bool bias) {
  const Paro4Names names = paro4_names(source, name);
  const LoadedTensor words = load_paro4_words(source, names, out, in);
  Paro4Weight weight;
  weight.in = in;
  weight.out = out;
  weight.group_size = read_group_size(source, names, out, in);
  const int64_t groups = in / weight.group_size;
  const std::vector<float> scales = load_floats(source, names.scales, {groups, out});
  weight.scales.resize(scales.size());
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t o = 0; o < out; ++o)
      weight.scales[static_cast<size_t>(o * groups + g)] = scales[static_cast<size_t>(g * out + o)];
  weight.codes.resize(static_cast<size_t>(out * in));
  weight.zeros.resize(static_cast<size_t>(out * groups));
  if (names.older) {
    unpack_older_words(words.view.data, in, out, weight.codes.data());
    read_scaled_zeros(source, names, weight);
  } else {
    unpack_words(words.view.data, in, out, weight.codes.data());
    const LoadedTensor zeros = load_typed(source, names.zeros, DType::kI32, {groups, out / 8});
    unpack_words(zeros.view.data, groups, out, weight.zeros.data());
  }
  weight.rotation = read_rotation(source, names, in, weight.group_size);
  weight.bias = read_paro4_bias(source, names, out, bias);
  return weight;
}

std::vector<TensorToWrite> paro4_tensors(const std::string& name, const Paro4Weight& weight) {
  PARO_CHECK(weight.rotation != nullptr && weight.out % 8 == 0 && weight.rotation->in == weight.in);
  // One copy that all the writers share: the tensors may outlive the weight.
  const auto w = std::make_shared<const Paro4Weight>(weight);
  const int64_t groups = w->in / w->group_size;
  const int64_t rounds = w->rotation->rounds;
  std::vector<TensorToWrite> tensors;
  tensors.push_back(tensor(name + ".qweight", DType::kI32, {w->in, w->out / 8},
                           [w] { return pack_words(w->codes.data(), w->in, w->out); }));
  tensors.push_back(tensor(name + ".qzeros", DType::kI32, {groups, w->out / 8},
                           [w, groups] { return pack_words(w->zeros.data(), groups, w->out); }));
  tensors.push_back(tensor(name + ".scales", DType::kF16, {groups, w->out}, [w, groups] {
    std::vector<uint16_t> scales(w->scales.size());
    for (int64_t o = 0; o < w->out; ++o)
      for (int64_t g = 0; g < groups; ++g)
        scales[static_cast<size_t>(g * w->out + o)] = f32_to_f16(w->scales[static_cast<size_t>(o * groups + g)]);
    return scales;
  }));
  tensors.push_back(
      tensor(name + ".theta", DType::kF16, {rounds, w->in / 2}, [w] { return as_f16(w->rotation->theta); }));
  tensors.push_back(tensor(name + ".pairs", DType::kI16, {rounds, w->in}, [w] { return w->rotation->pairs; }));
  tensors.push_back(
      tensor(name + ".channel_scales", DType::kF16, {1, w->in}, [w] { return as_f16(w->rotation->channel_scales); }));
  if (!w->bias.empty())
    tensors.push_back(tensor(name + ".bias", DType::kF16, {w->out}, [w] { return as_f16(w->bias); }));
  return tensors;
}

}  // namespace paro
