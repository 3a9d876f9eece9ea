// AWQ checkpoints in AutoAWQ's GEMM layout (Lin et al., arXiv 2306.00978): the words of the public ParoQuant format,
// which took them from there, without a rotation. X.qweight I32 [in, out/8], X.qzeros I32 [in/g, out/8], nibble p of a
// word is column (0,2,4,6,1,3,5,7)[p], zero points as they are; X.scales F16 [in/g, out]; value = (q - z) * s.
#include "base/error.h"
#include "quant/method.h"
#include "quant/paro4/packed_weight.h"
#include "quant/paro4/packing.h"
#include "quant/paro4/paro4_linear.h"
#include "quant/paro4/write_tensors.h"

namespace paro {
namespace {

PackedParo4 read_packed(const LinearTensors& t, const LoadHelp& help) {
  const Paro4Names names = paro4_names(t.source, t.name);
  const LoadedTensor words = load_paro4_words(t.source, names, t.out, t.in);
  const int64_t group = read_configured_group(t.source, names.scales, t.out, t.in, t.config.group_size);
  PackedParo4 result;
  result.weight = pack_public_words(t.source, names, t.out, t.in, words, group, help);
  result.rotation = identity_rotation(t.in, result.weight.group_size);
  result.bias = read_optional_bias(t.source, names, t.out, t.bias);
  for (const std::string& read : {names.qweight, names.zeros, names.scales}) t.source.was_read(read);
  return result;
}

std::unique_ptr<CpuLinear> load(const LinearTensors& t, const LoadHelp& help) {
  return make_paro4_linear(read_packed(t, help));
}

Paro4Weight read(const LinearTensors& t) { return unpack_paro4(read_packed(t, {})); }

std::vector<TensorToWrite> tensors(const std::string& name, const Paro4Weight& weight, const QuantizationConfig&) {
  PARO_CHECK(is_identity(*weight.rotation) && weight.order.empty());
  return nibble_tensors(name, std::make_shared<const Paro4Weight>(weight));
}

Json describe(const QuantizationConfig& config, const WrittenLinears& linears) {
  Json json = {{"quant_method", "awq"}, {"bits", config.bits}, {"group_size", config.group_size},
               {"zero_point", true},    {"version", "gemm"},   {"modules_to_not_convert", nullptr}};
  if (!linears.kept.empty()) json["modules_to_not_convert"] = linears.kept;
  return json;
}

}  // namespace

extern const QuantizationFormat kAwqFormat;
const QuantizationFormat kAwqFormat = {"awq", load, read, tensors, describe};

}  // namespace paro
