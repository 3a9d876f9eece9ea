// An op set that runs a layer on another one and catches the inputs of its linears. Coarse operations that
// contain linears keep their default bodies, so that every linear comes by here.
#pragma once

#include <functional>

#include "model/ops.h"

namespace paro::calib {

class RecordingOps : public Ops {
 public:
  explicit RecordingOps(Ops& inner) : inner_(inner) {}

  /// Runs `block` until the linear `target` is about to be computed and hands its input [rows, in] to `use`; nothing
  /// behind it is computed. The input lives until `use` returns.
  void capture(const Linear& target, const std::function<void()>& block, const std::function<void(Tensor)>& use);

  /// Runs the whole `block`; use(i, x) sees the input of targets[i] just before it is computed.
  void watch(std::span<const Linear* const> targets, const std::function<void()>& block,
             const std::function<void(size_t target, Tensor x)>& use);

  Tensor make(int64_t rows, int64_t dim) override { return inner_.make(rows, dim); }
  void begin_scope() override { inner_.begin_scope(); }
  void end_scope() override { inner_.end_scope(); }
  void embed(const Embedding& table, std::span<const int32_t> ids, Tensor out) override {
    inner_.embed(table, ids, out);
  }
  void add(Tensor x, Tensor y) override { inner_.add(x, y); }
  Tensor rms_norm(Tensor x, const Vector& weight, float eps) override { return inner_.rms_norm(x, weight, eps); }
  void head_norm(Tensor x, int64_t head_dim, const Vector& weight, float eps) override {
    inner_.head_norm(x, head_dim, weight, eps);
  }
  Tensor linear(Tensor x, const Linear& weight) override;
  Tensor silu_mul(Tensor gate, Tensor up) override { return inner_.silu_mul(gate, up); }
  void rope(Tensor x, int64_t head_dim, const Rope& rope, const Batch& batch) override {
    inner_.rope(x, head_dim, rope, batch);
  }
  Tensor attention(Tensor q, Tensor k, Tensor v, const AttentionSpec& spec, const Batch& batch) override {
    return inner_.attention(q, k, v, spec, batch);
  }
  Tensor gather_rows(Tensor x, std::span<const int64_t> rows) override { return inner_.gather_rows(x, rows); }
  // Without linears inside, so the fast bodies serve.
  Tensor attend(Tensor q, Tensor k, Tensor v, const AttentionSpec& spec, const Batch& batch) override {
    return inner_.attend(q, k, v, spec, batch);
  }

 private:
  Ops& inner_;
  const Linear* target_ = nullptr;
  const std::function<void(Tensor)>* use_ = nullptr;
  std::span<const Linear* const> watched_;
  const std::function<void(size_t, Tensor)>* see_ = nullptr;
};

}  // namespace paro::calib
