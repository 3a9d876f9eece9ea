// A dense weight rounded to 4 bits at load, for the int4 kernels: no rotation, groups of 32 inputs.
#include <string>
#include <utility>

#include "base/error.h"
#include "quant/dense/dense_linear.h"
#include "quant/paro4/packed_weight.h"
#include "quant/paro4/paro4_linear.h"
#include "quant/paro4/rounded_rows.h"

namespace paro {

std::unique_ptr<CpuLinear> rounded_to_int4(const Linear& linear, ThreadPool& pool, PreparedCache* prepared) {
  const std::optional<DenseParts> dense = dense_parts(linear);
  if (!dense) return nullptr;
  PARO_CHECK(linear.in % kRoundedInt4Group == 0);
  PackedInt4 packed;
  packed.in = linear.in;
  packed.out = linear.out;
  packed.group_size = kRoundedInt4Group;
  const std::string codes = linear.name + ".int4";
  const std::string meta = linear.name + ".int4_meta";
  if (!find_packed(prepared, codes, meta, packed)) {
    allocate_packed(packed);
    pack_rows(packed, &pool, [&](int64_t begin, int64_t end) { return round_rows(*dense->weight, begin, end); });
    keep_packed(prepared, codes, meta, packed);
  }
  auto rounded =
      make_paro4_linear({std::move(packed), {}, identity_rotation(linear.in, kRoundedInt4Group), *dense->bias, {}});
  rounded->name = linear.name;
  return rounded;
}

}  // namespace paro
