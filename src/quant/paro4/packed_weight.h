// A linear of up to 4 bits, or of 8, as the kernels read it, made from the checkpoint's words without a form in
// between.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/weight_source.h"
#include "kernels/int4/int4.h"
#include "quant/cpu_linear.h"
#include "quant/paro4/format.h"
#include "quant/paro4/read_tensors.h"

namespace paro {

/// Codes of 8 bits run as two 4-bit weights over one input: q = 16 h + l and z = 16 zh + zl, so that
/// (q - z) s = (h - zh) 16 s + (l - zl) s.
struct PackedParo4 {
  PackedInt4 weight;
  std::optional<PackedInt4> low;  // of 8 bits: l, zl and s; `weight` then has h, zh and 16 s
  std::shared_ptr<const PairRotation> rotation;
  std::vector<float> bias;     // [out] or empty
  std::vector<int32_t> order;  // of Paro4Weight
};

/// Memory for the codes and meta of `packed`, whose in, out and group_size are set.
void allocate_packed(PackedInt4& packed);
/// The same out of two sections of `prepared` (null: no cache). False, and nothing changed, unless both are there.
bool find_packed(const PreparedCache* prepared, const std::string& codes, const std::string& meta, PackedInt4& packed);
/// 16 s, in F16, of the upper half of 8 bits. Error{kInput} naming `place` where that is beyond F16.
uint16_t upper_scale(float scale, const std::string& place);
/// Gives both to `prepared`, under these names.
void keep_packed(PreparedCache* prepared, const std::string& codes, const std::string& meta, const PackedInt4& packed);

/// pack_int4 of what read_paro4 gives, with the same checks and errors. The words' pages leave memory again.
PackedParo4 read_packed_paro4(const WeightSource& source, const std::string& name, int64_t out, int64_t in, bool bias,
                              const LoadHelp& help = {});
PackedParo4 pack_paro4(const Paro4Weight& weight, ThreadPool* pool = nullptr);
/// The numbers again (Paro4Weight::bits: 4 or 8).
Paro4Weight unpack_paro4(const PackedParo4& packed);

/// The groups of the kernels for groups of `file_group` inputs, a multiple of 32: the same up to 128, else cut into
/// groups of 64 or 32 with the same scale, for inputs rounded to int8 share a scale in each.
int64_t kernel_group(int64_t file_group);

/// What a checkpoint has for each group of inputs, as the kernels' meta data is made from it.
struct Int4Groups {
  std::vector<uint16_t> scales;  // f16 [groups, out]
  std::vector<uint32_t> zeros;   // words [groups, out/8] as in the public format
};
/// Where one weight's parts are kept in a prepared cache, and how they are made when they are not there.
struct Int4Making {
  std::string codes_name, groups_name;
  std::function<Int4Groups()> groups;
  /// PackedInt4's codes of inputs [begin, end) in multiples of 8 (all of `codes` is given), on any thread.
  std::function<void(int64_t begin, int64_t end, uint8_t* codes)> pack_codes;
};
/// Groups of `file_group` inputs, cut as kernel_group says.
PackedInt4 make_packed_int4(int64_t out, int64_t in, int64_t file_group, const Int4Making& making,
                            const LoadHelp& help);
/// The same of the words of the public format, which AWQ shares; `words` from load_paro4_words.
PackedInt4 pack_public_words(const WeightSource& source, const Paro4Names& names, int64_t out, int64_t in,
                             const LoadedTensor& words, int64_t file_group, const LoadHelp& help);

}  // namespace paro
