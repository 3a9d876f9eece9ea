#include "quant/paro4/format.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "quant/paro4/packing.h"
#include "quant/paro4/read_tensors.h"
#include "quant/paro4/write_tensors.h"

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

}  // namespace

std::shared_ptr<const PairRotation> identity_rotation(int64_t in, int64_t group_size) {
  auto rotation = std::make_shared<PairRotation>();
  rotation->in = in;
  rotation->group_size = group_size;
  rotation->channel_scales.assign(static_cast<size_t>(in), 1.0f);
  return rotation;
}

bool is_identity(const PairRotation& rotation) {
  return std::all_of(rotation.theta.begin(), rotation.theta.end(), [](float t) { return t == 0.0f; }) &&
         std::all_of(rotation.channel_scales.begin(), rotation.channel_scales.end(), [](float s) { return s == 1.0f; });
}

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
  PARO_CHECK(weight.order.empty());
  // One copy that all the writers share: the tensors may outlive the weight.
  const auto w = std::make_shared<const Paro4Weight>(weight);
  std::vector<TensorToWrite> tensors = nibble_tensors(name, w);
  for (TensorToWrite& tensor : rotation_tensors(name, w)) tensors.push_back(std::move(tensor));
  return tensors;
}

}  // namespace paro
