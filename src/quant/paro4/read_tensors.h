// The checked tensors of one 4-bit linear in a checkpoint, under the names of either layout: what format.cpp and
// packed_weight.cpp read. Every function throws Error{kInput} naming the tensor, the expected and the found.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/weight_source.h"
#include "quant/paro4/format.h"

namespace paro {

/// The tensors' names in the two layouts.
struct Paro4Names {
  std::string qweight, zeros, scales, theta, pairs, channel_scales, bias;
  bool older = false;
};
Paro4Names paro4_names(const WeightSource& source, const std::string& name);

/// The words of the codes: I32 [in, out/8], in the older layout I16 [out/4, in].
LoadedTensor load_paro4_words(const WeightSource& source, const Paro4Names& names, int64_t out, int64_t in);
/// A tensor of exactly this type and shape.
LoadedTensor load_typed(const WeightSource& source, const std::string& name, DType type,
                        const std::vector<int64_t>& shape);
/// F16, BF16 or F32 as f32; finite values only.
std::vector<float> load_floats(const WeightSource& source, const std::string& name, const std::vector<int64_t>& shape);
/// Inputs of a group, from the shape of scales [groups, out].
int64_t read_file_group(const WeightSource& source, const std::string& scales, int64_t out, int64_t in);
/// The same where the configuration names it (-1: all inputs) and the kernels need a multiple of 32. 0 as
/// `configured`: not named.
int64_t read_configured_group(const WeightSource& source, const std::string& scales, int64_t out, int64_t in,
                              int64_t configured);
/// 32, 64 or 128, from the shape of the scales.
int64_t read_group_size(const WeightSource& source, const Paro4Names& names, int64_t out, int64_t in);
std::shared_ptr<const PairRotation> read_rotation(const WeightSource& source, const Paro4Names& names, int64_t in,
                                                  int64_t group_size);
/// [out], or empty where the model has none (`bias` false); one that the family does not know is an error.
/// AutoGPTQ and AutoAWQ wrote biases of zeros for linears without one: those are left out (read_optional_bias).
std::vector<float> read_paro4_bias(const WeightSource& source, const Paro4Names& names, int64_t out, bool bias);
std::vector<float> read_optional_bias(const WeightSource& source, const Paro4Names& names, int64_t out, bool bias);

}  // namespace paro
