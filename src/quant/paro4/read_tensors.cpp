#include "quant/paro4/read_tensors.h"

#include <cstring>

#include "base/error.h"

namespace paro {
namespace {

constexpr int64_t kMinGroup = 32;
constexpr int64_t kMaxRounds = 64;

std::string where(const WeightSource& source, const std::string& name) {
  return fmt::format("{}: {}", source.place(name), name);
}

}  // namespace

Paro4Names paro4_names(const WeightSource& source, const std::string& name) {
  if (!source.has(name + ".qweight") && source.has(name + ".qlinear.qweight")) {
    return {name + ".qlinear.qweight",
            name + ".qlinear.scaled_zeros",
            name + ".qlinear.scales",
            name + ".rotation.theta",
            name + ".rotation.pairs",
            name + ".rotation.channel_scales",
            source.has(name + ".qlinear.bias") ? name + ".qlinear.bias" : name + ".bias",
            true};
  }
  return {name + ".qweight", name + ".qzeros",         name + ".scales", name + ".theta",
          name + ".pairs",   name + ".channel_scales", name + ".bias",   false};
}

LoadedTensor load_paro4_words(const WeightSource& source, const Paro4Names& names, int64_t out, int64_t in) {
  if (out <= 0 || out % 8 != 0 || in <= 0 || in % kMinGroup != 0)
    fail_input(
        "{}: a 4-bit weight needs outputs in multiples of 8 and inputs in multiples of {}; the model asks for "
        "[{}, {}]",
        where(source, names.qweight), kMinGroup, out, in);
  return names.older ? load_typed(source, names.qweight, DType::kI16, {out / 4, in})
                     : load_typed(source, names.qweight, DType::kI32, {in, out / 8});
}

LoadedTensor load_typed(const WeightSource& source, const std::string& name, DType type,
                        const std::vector<int64_t>& shape) {
  const TensorInfo& info = source.require(name, shape);
  if (info.dtype != type)
    fail_input("{}: expected type {}, found {}", where(source, name), dtype_name(type), dtype_name(info.dtype));
  return source.load(name);
}

std::vector<float> load_floats(const WeightSource& source, const std::string& name, const std::vector<int64_t>& shape) {
  const TensorInfo& info = source.require(name, shape);
  if (info.dtype != DType::kF16 && info.dtype != DType::kBF16 && info.dtype != DType::kF32)
    fail_input("{}: expected type F16, BF16 or F32, found {}", where(source, name), dtype_name(info.dtype));
  return source.load_f32(name);
}

int64_t read_file_group(const WeightSource& source, const std::string& scales, int64_t out, int64_t in) {
  const TensorInfo& info = source.require(scales);
  const int64_t groups = info.shape.size() == 2 ? info.shape[0] : 0;
  if (groups <= 0 || info.shape[1] != out || in % groups != 0)
    fail_input("{}: expected shape [input groups, {}] with groups dividing {}, found {}", where(source, scales), out,
               in, shape_text(info.shape));
  return in / groups;
}

int64_t read_configured_group(const WeightSource& source, const std::string& scales, int64_t out, int64_t in,
                              int64_t configured) {
  const int64_t group = read_file_group(source, scales, out, in);
  const int64_t wanted = configured == -1 ? in : configured;
  if (wanted != 0 && group != wanted)
    fail_input("{}: quantization_config says groups of {}, the shape {} means groups of {}", where(source, scales),
               wanted, shape_text(source.require(scales).shape), group);
  if (group % kMinGroup != 0)
    fail_input("{}: groups of {} inputs; multiples of {} are supported", where(source, scales), group, kMinGroup);
  return group;
}

int64_t read_group_size(const WeightSource& source, const Paro4Names& names, int64_t out, int64_t in) {
  const int64_t group_size = read_file_group(source, names.scales, out, in);
  if (group_size != 32 && group_size != 64 && group_size != 128)
    fail_input("{}: shape {} means groups of {}; groups of 32, 64 and 128 are supported", where(source, names.scales),
               shape_text(source.require(names.scales).shape), group_size);
  return group_size;
}

std::shared_ptr<const PairRotation> read_rotation(const WeightSource& source, const Paro4Names& names, int64_t in,
                                                  int64_t group_size) {
  const TensorInfo& info = source.require(names.theta);
  if (info.shape.size() != 2 || info.shape[1] != in / 2 || info.shape[0] > kMaxRounds)
    fail_input("{}: expected shape [rounds up to {}, {}], found {}", where(source, names.theta), kMaxRounds, in / 2,
               shape_text(info.shape));
  auto rotation = std::make_shared<PairRotation>();
  rotation->in = in;
  rotation->group_size = group_size;
  rotation->rounds = info.shape[0];
  rotation->theta = load_floats(source, names.theta, info.shape);
  const LoadedTensor pairs = load_typed(source, names.pairs, DType::kI16, {rotation->rounds, in});
  rotation->pairs.resize(static_cast<size_t>(rotation->rounds * in));
  if (!rotation->pairs.empty())
    std::memcpy(rotation->pairs.data(), pairs.view.data, rotation->pairs.size() * sizeof(int16_t));
  const TensorInfo& scales = source.require(names.channel_scales);
  const bool flat = scales.shape.size() == 1;
  rotation->channel_scales =
      load_floats(source, names.channel_scales, flat ? std::vector<int64_t>{in} : std::vector<int64_t>{1, in});
  check_rotation(*rotation, source.place(names.pairs), names.pairs);
  for (int64_t i = 0; i < in; ++i) {
    if (rotation->channel_scales[static_cast<size_t>(i)] == 0.0f)
      fail_input("{}: channel {} is 0; a channel's scale must not be 0", where(source, names.channel_scales), i);
  }
  return rotation;
}

std::vector<float> read_paro4_bias(const WeightSource& source, const Paro4Names& names, int64_t out, bool bias) {
  // The original writes a bias wherever the source model has one.
  if (bias) return load_floats(source, names.bias, {out});
  if (source.has(names.bias))
    fail_input("{}: a bias is there; the model's configuration says there is none", where(source, names.bias));
  return {};
}

std::vector<float> read_optional_bias(const WeightSource& source, const Paro4Names& names, int64_t out, bool bias) {
  if (!bias && source.has(names.bias)) {
    for (const float value : load_floats(source, names.bias, {out}))
      if (value != 0.0f) return read_paro4_bias(source, names, out, bias);
    return {};
  }
  return read_paro4_bias(source, names, out, bias);
}

}  // namespace paro
