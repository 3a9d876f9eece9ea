#include "model/ops.h"

#include "base/error.h"

namespace paro {

void Ops::linears(Tensor x, std::span<const Linear* const> weights, std::span<Tensor> out) {
  count_default_body(CoarseOp::kLinears);
  PARO_CHECK(weights.size() == out.size());
  for (size_t i = 0; i < weights.size(); ++i) out[i] = linear(x, *weights[i]);
}

Tensor Ops::attend(Tensor q, Tensor k, Tensor v, const AttentionSpec& spec, const Batch& batch) {
  count_default_body(CoarseOp::kAttend);
  if (spec.q_norm != nullptr) head_norm(q, spec.head_dim, *spec.q_norm, spec.norm_eps);
  if (spec.k_norm != nullptr) head_norm(k, spec.head_dim, *spec.k_norm, spec.norm_eps);
  if (spec.rope != nullptr) {
    rope(q, spec.head_dim, *spec.rope, batch);
    rope(k, spec.head_dim, *spec.rope, batch);
  }
  return attention(q, k, v, spec, batch);
}

Tensor Ops::gated_mlp(Tensor x, const Linear& gate, const Linear& up, const Linear& down) {
  count_default_body(CoarseOp::kGatedMlp);
  const Linear* weights[] = {&gate, &up};
  Tensor outputs[2];
  linears(x, weights, outputs);
  return linear(silu_mul(outputs[0], outputs[1]), down);
}

void Ops::norm_linears(Tensor x, const Tensor* y, const Norm& norm, std::span<const Linear* const> weights,
                       std::span<Tensor> out) {
  count_default_body(CoarseOp::kNormLinears);
  if (y != nullptr) add(x, *y);
  linears(rms_norm(x, norm.weight, norm.eps), weights, out);
}

Tensor Ops::norm_gated_mlp(Tensor x, const Tensor* y, const Norm& norm, const Linear& gate, const Linear& up,
                           const Linear& down) {
  count_default_body(CoarseOp::kNormGatedMlp);
  if (y != nullptr) add(x, *y);
  return gated_mlp(rms_norm(x, norm.weight, norm.eps), gate, up, down);
}

}  // namespace paro
