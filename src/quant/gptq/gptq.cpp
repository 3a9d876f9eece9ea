// GPTQ checkpoints in the layout of AutoGPTQ and GPTQModel (Frantar et al., arXiv 2210.17323). Codes of b bits are a
// stream of bits, lowest first, through words of 32: X.qweight I32 [in b/32, out] along the inputs of each output,
// X.qzeros I32 [groups, out b/32] along the outputs; X.scales F16 [groups, out]; X.g_idx I32 [in] the group of each
// input; value = (q - z) * s. checkpoint_format "gptq" stores z - 1, "gptq_v2" z.
// With act-order (desc_act) the inputs of a group lie scattered: the weight is kept with its inputs sorted by group and
// the input of the product is put into that order (Paro4Weight::order).
#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "quant/method.h"
#include "quant/paro4/bit_streams.h"
#include "quant/paro4/paro4_linear.h"
#include "quant/paro4/stream_weight.h"
#include "quant/paro4/write_tensors.h"

namespace paro {
namespace {

// What was found and checked before anything is unpacked.
struct Parts {
  Paro4Names names;
  StreamWeight weight;
  std::vector<int32_t> order;  // inputs sorted by group; empty: they are
};

std::string where(const LinearTensors& t, const std::string& tensor) {
  return fmt::format("{}: {}", t.source.place(tensor), tensor);
}

/// From the shape of the codes where linears may differ.
int bits_of(const LinearTensors& t, const std::string& qweight) {
  const auto configured = static_cast<int>(t.config.bits);
  if (!t.config.mixed) return configured;
  const TensorInfo& info = t.source.require(qweight);
  const int64_t rows = info.shape.empty() ? 0 : info.shape[0];
  for (const int bits : {2, 3, 4, 8})
    if (rows * 32 == t.in * bits) return bits;
  return configured;
}

/// Inputs by group, as they come inside a group; empty when g_idx is i / g.
std::vector<int32_t> read_order(const LinearTensors& t, int64_t group) {
  const std::string name = t.name + ".g_idx";
  if (!t.source.has(name)) {
    if (t.config.act_order && group != t.in)
      fail_input("{}: tensor \"{}\" is missing; \"desc_act\" needs it", t.source.place(t.name + ".qweight"), name);
    return {};
  }
  const LoadedTensor loaded = load_typed(t.source, name, DType::kI32, {t.in});
  std::vector<int32_t> g_idx(static_cast<size_t>(t.in));
  std::memcpy(g_idx.data(), loaded.view.data, g_idx.size() * sizeof(int32_t));
  const int64_t groups = t.in / group;
  std::vector<int64_t> members(static_cast<size_t>(groups));
  bool plain = true;
  for (int64_t i = 0; i < t.in; ++i) {
    const int32_t g = g_idx[static_cast<size_t>(i)];
    if (g < 0 || g >= groups)
      fail_input("{}: at {}: expected a group 0 to {}, found {}", where(t, name), i, groups - 1, g);
    members[static_cast<size_t>(g)] += 1;
    plain = plain && g == i / group;
  }
  if (plain) return {};
  for (int64_t g = 0; g < groups; ++g)
    if (members[static_cast<size_t>(g)] != group)
      fail_input("{}: group {}: expected {} inputs, found {}", where(t, name), g, group,
                 members[static_cast<size_t>(g)]);
  std::vector<int32_t> order(g_idx.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return g_idx[static_cast<size_t>(a)] < g_idx[static_cast<size_t>(b)]; });
  return order;
}

Parts read_parts(const LinearTensors& t) {
  Parts parts;
  parts.names = paro4_names(t.source, t.name);
  parts.weight = read_stream_weight(t.source, parts.names, t.out, t.in, bits_of(t, parts.names.qweight),
                                    t.config.mixed ? 0 : t.config.group_size, t.config.zeros_minus_one);
  parts.order = read_order(t, parts.weight.group);
  return parts;
}

PackedParo4 read_packed(const LinearTensors& t, const Parts& parts, const LoadHelp& help) {
  PackedParo4 result = pack_stream_weight(t.source, parts.names, t.out, t.in, parts.weight, parts.order, help);
  result.rotation = identity_rotation(t.in, result.weight.group_size);
  result.order = parts.order;
  result.bias = read_optional_bias(t.source, parts.names, t.out, t.bias);
  return result;
}

std::unique_ptr<CpuLinear> load(const LinearTensors& t, const LoadHelp& help) {
  const Parts parts = read_parts(t);
  auto linear = make_paro4_linear(read_packed(t, parts, help));
  for (const std::string& read : {parts.names.qweight, parts.names.zeros, parts.names.scales}) t.source.was_read(read);
  return linear;
}

Paro4Weight read(const LinearTensors& t) {
  const Parts parts = read_parts(t);
  Paro4Weight weight = unpack_paro4(read_packed(t, parts, {}));
  weight.bits = parts.weight.bits;
  return weight;
}

std::vector<TensorToWrite> tensors(const std::string& name, const Paro4Weight& weight,
                                   const QuantizationConfig& config) {
  PARO_CHECK(is_identity(*weight.rotation) && !config.zeros_minus_one);
  const auto w = std::make_shared<const Paro4Weight>(weight);
  std::vector<TensorToWrite> result = stream_tensors(name, w, static_cast<int>(weight.bits));
  result.push_back(made_tensor(name + ".g_idx", DType::kI32, {w->in}, [w] {
    std::vector<int32_t> g_idx(static_cast<size_t>(w->in));
    for (int64_t k = 0; k < w->in; ++k) {
      const int64_t i = w->order.empty() ? k : w->order[static_cast<size_t>(k)];
      g_idx[static_cast<size_t>(i)] = static_cast<int32_t>(k / w->group_size);
    }
    return g_idx;
  }));
  return result;
}

/// A regular expression that matches exactly this name, as a key of "dynamic": + other settings, - left out.
std::string pattern_of(const char* sign, const std::string& name) {
  std::string pattern = fmt::format("{}:^", sign);
  for (const char c : name) {
    if (c == '.') pattern += '\\';
    pattern += c;
  }
  return pattern + "$";
}

Json describe(const QuantizationConfig& config, const WrittenLinears& linears) {
  // Zero points lie anywhere in their range, so sym is false; readers refuse that with "gptq" (where 0 cannot be
  // stored).
  Json json = {{"quant_method", "gptq"},       {"bits", config.bits},    {"group_size", config.group_size},
               {"desc_act", config.act_order}, {"static_groups", false}, {"sym", false},
               {"true_sequential", true},      {"lm_head", false},       {"checkpoint_format", "gptq_v2"},
               {"pack_dtype", "int32"}};
  for (const auto& [name, bits] : config.linear_bits) json["dynamic"][pattern_of("+", name)] = {{"bits", bits}};
  if (linears.kept.empty()) return json;
  // GPTQModel, vLLM and SGLang go by the exceptions, transformers (optimum) by the list of what is quantized.
  for (const std::string& name : linears.kept) json["dynamic"][pattern_of("-", name)] = Json::object();
  json["modules_in_block_to_quantize"] = Json::array({linears.quantized});
  return json;
}

}  // namespace

extern const QuantizationFormat kGptqFormat;
const QuantizationFormat kGptqFormat = {"gptq", load, read, tensors, describe};

}  // namespace paro
