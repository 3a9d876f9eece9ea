// A 4-bit linear as the kernels read it, made from the checkpoint's words without a form in between.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/weight_source.h"
#include "kernels/int4/int4.h"
#include "quant/cpu_linear.h"
#include "quant/paro4/format.h"

namespace paro {

struct PackedParo4 {
  PackedInt4 weight;
  std::shared_ptr<const PairRotation> rotation;
  std::vector<float> bias;  // [out] or empty
};

/// Memory for the codes and meta of `packed`, whose in, out and group_size are set.
void allocate_packed(PackedInt4& packed);
/// The same out of two sections of `prepared` (null: no cache). False, and nothing changed, unless both are there.
bool find_packed(const PreparedCache* prepared, const std::string& codes, const std::string& meta, PackedInt4& packed);
/// Gives both to `prepared`, under these names.
void keep_packed(PreparedCache* prepared, const std::string& codes, const std::string& meta, const PackedInt4& packed);

/// pack_int4 of what read_paro4 gives, with the same checks and errors. The words' pages leave memory again.
PackedParo4 read_packed_paro4(const WeightSource& source, const std::string& name, int64_t out, int64_t in, bool bias,
                              const LoadHelp& help = {});
PackedParo4 pack_paro4(const Paro4Weight& weight, ThreadPool* pool = nullptr);

}  // namespace paro
