#include "quant/linear_input.h"

#include "kernels/elementwise/elementwise.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/variants.h"

namespace paro {

LinearInputRows::LinearInputRows(Isa isa, const LinearInput& input, int64_t in)
    : input_(input),
      in_(in),
      elements_(variant_for(elementwise_variants(), isa)),
      norms_(variant_for(norm_variants(), isa)) {}

void LinearInputRows::compute(int64_t row, int64_t begin, int64_t end, float* out) const {
  const float* x = input_.x + row * in_ + begin;
  if (input_.up != nullptr)
    elements_.silu_mul(x, input_.up + row * in_ + begin, out, end - begin);
  else
    norms_.scale(x, input_.factors[row], input_.norm + begin, end - begin, out);
}

}  // namespace paro
