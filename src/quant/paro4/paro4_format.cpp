// The public ParoQuant format (and its older layout) as one of the formats of quant/method.h.
#include <algorithm>

#include "base/error.h"
#include "quant/method.h"
#include "quant/paro4/packed_weight.h"
#include "quant/paro4/paro4_linear.h"
#include "quant/paro4/stream_weight.h"
#include "quant/paro4/write_tensors.h"

namespace paro {
namespace {

/// Not named: 4.
int64_t bits_of(const LinearTensors& t) { return t.config.bits == 0 ? 4 : t.config.bits_of(t.name); }

/// 2, 3 and 8 bits, our extension: codes and zero points as streams of bits, all else as with 4.
PackedParo4 read_streams(const LinearTensors& t, const Paro4Names& names, const LoadHelp& help) {
  const int64_t group = read_group_size(t.source, names, t.out, t.in);
  const StreamWeight streams =
      read_stream_weight(t.source, names, t.out, t.in, static_cast<int>(bits_of(t)), group, false);
  PackedParo4 result = pack_stream_weight(t.source, names, t.out, t.in, streams, {}, help);
  result.rotation = read_rotation(t.source, names, t.in, group);
  result.bias = read_paro4_bias(t.source, names, t.out, t.bias);
  for (const std::string& read : {names.qweight, names.zeros, names.scales, names.theta, names.pairs})
    t.source.was_read(read);
  return result;
}

std::unique_ptr<CpuLinear> load(const LinearTensors& t, const LoadHelp& help) {
  const Paro4Names names = paro4_names(t.source, t.name);
  const int64_t bits = bits_of(t);
  if (bits != 2 && bits != 3 && bits != 4 && bits != 8)
    fail_input("{}: {}: expected 2, 3, 4 or 8 bits, found {}", t.source.place(names.qweight), names.qweight, bits);
  if (!t.source.has(names.theta))
    fail_input("{}: {} is there but {} is not: quantized by another method than quantization_config says (GPTQ, AWQ?)",
               t.source.place(names.qweight), names.qweight, names.theta);
  auto linear = make_paro4_linear(bits == 4 ? read_packed_paro4(t.source, t.name, t.out, t.in, t.bias, help)
                                            : read_streams(t, names, help));
  // The tensors decide; a configuration that says otherwise means that something was mixed up.
  read_configured_group(t.source, names.scales, t.out, t.in, t.config.group_size);
  return linear;
}

Paro4Weight read(const LinearTensors& t) {
  if (bits_of(t) == 4) return read_paro4(t.source, t.name, t.out, t.in, t.bias);
  Paro4Weight weight = unpack_paro4(read_streams(t, paro4_names(t.source, t.name), {}));
  weight.bits = bits_of(t);
  return weight;
}

std::vector<TensorToWrite> tensors(const std::string& name, const Paro4Weight& weight, const QuantizationConfig&) {
  if (weight.bits == 4) return paro4_tensors(name, weight);
  const auto w = std::make_shared<const Paro4Weight>(weight);
  std::vector<TensorToWrite> result = stream_tensors(name, w, static_cast<int>(weight.bits));
  for (TensorToWrite& tensor : rotation_tensors(name, w)) result.push_back(std::move(tensor));
  return result;
}

/// The format lists no exceptions: a linear without codes is not quantized.
Json describe(const QuantizationConfig& config, const WrittenLinears&) {
  Json json = {{"quant_method", "paroquant"},
               {"bits", config.bits},
               {"group_size", config.group_size},
               {"krot", std::max<int64_t>(1, config.rotations)}};
  if (!config.linear_bits.empty()) json["linear_bits"] = config.linear_bits;
  return json;
}

}  // namespace

extern const QuantizationFormat kParo4Format;
const QuantizationFormat kParo4Format = {"paroquant", load, read, tensors, describe};

}  // namespace paro
