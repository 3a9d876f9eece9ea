// Codes of other widths than 4 bits, and all of GPTQ's: streams of bits through words of 32 (bit_streams.h). What the
// GPTQ format and the extension of the ParoQuant format to 2, 3 and 8 bits share.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "quant/paro4/packed_weight.h"

namespace paro {

struct StreamWeight {
  int bits = 0;
  int64_t group = 0;  // inputs that share a scale in the file
  LoadedTensor words;
  std::vector<uint8_t> zeros;  // [groups, out]
};

/// X.qweight I32 [in bits / 32, out] and X.qzeros I32 [in / group, out bits / 32], checked; `configured` is the group
/// size as quantization_config has it (0: not named). zeros_minus_one: zero points are stored less one.
StreamWeight read_stream_weight(const WeightSource& source, const Paro4Names& names, int64_t out, int64_t in, int bits,
                                int64_t configured, bool zeros_minus_one);

/// For the kernels, in the groups of kernel_group; input i is input order[i] of the file (empty: i). Sets weight and
/// low of the result.
PackedParo4 pack_stream_weight(const WeightSource& source, const Paro4Names& names, int64_t out, int64_t in,
                               const StreamWeight& weight, const std::vector<int32_t>& order, const LoadHelp& help);

/// X.qweight, X.qzeros, X.scales, and X.bias where there is one; inputs in the linear's own order.
std::vector<TensorToWrite> stream_tensors(const std::string& name, const std::shared_ptr<const Paro4Weight>& weight,
                                          int bits);

}  // namespace paro
