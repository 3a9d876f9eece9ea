// The abstract operations a model is written against. Primitives are implemented by every op set; coarse operations
// have a default body made of primitives (that body is their meaning) which a fast backend overrides.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "model/linear.h"
#include "model/rope.h"

namespace paro {

/// Activations [rows, dim], row-major, in the op set's own memory and element type (f32 on the CPU). Memory comes
/// from the op set and lives until the enclosing scope is released; a handle owns nothing.
struct Tensor {
  void* data = nullptr;
  int64_t rows = 0;
  int64_t dim = 0;
  float* f32() const { return static_cast<float*>(data); }  // CPU op sets only
};

/// Keys and values of one sequence, all layers, in a backend's own layout.
class KvCache {
 public:
  virtual ~KvCache() = default;
  int64_t length = 0;    // positions filled in by finished steps
  int64_t capacity = 0;  // positions there is room for
};

/// Consecutive rows of the batch that belong to one sequence, at positions start .. start + rows - 1.
struct Segment {
  KvCache* cache = nullptr;
  int64_t start = 0;
  int64_t rows = 0;
};

/// What one step runs over: rows = sum of the segments' rows.
struct Batch {
  std::span<const int32_t> ids;  // [rows]
  std::span<const Segment> segments;
  int64_t rows() const { return static_cast<int64_t>(ids.size()); }
};

/// Everything attend() needs besides q, k, v.
struct AttentionSpec {
  int64_t layer = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  float scale = 0.0f;              // of q k^T, usually 1 / sqrt(head_dim)
  int64_t window = 0;              // keys seen: positions p - window + 1 .. p; 0: all
  const Rope* rope = nullptr;      // nullptr: no position encoding in this layer
  const Vector* q_norm = nullptr;  // per-head RMSNorm, [head_dim]
  const Vector* k_norm = nullptr;
  float norm_eps = 0.0f;
};

/// An RMS norm before linears.
struct Norm {
  const Vector& weight;  // [dim]
  float eps = 0.0f;
};

/// Those of Ops with a default body.
enum class CoarseOp { kLinears, kAttend, kGatedMlp, kNormLinears, kNormGatedMlp };
constexpr std::array<std::string_view, 5> kCoarseOpNames = {"linears", "attend", "gated_mlp", "norm_linears",
                                                            "norm_gated_mlp"};
static_assert(kCoarseOpNames.size() == static_cast<size_t>(CoarseOp::kNormGatedMlp) + 1);
/// For each of them, in the order of kCoarseOpNames.
using CoarseOpCounts = std::array<int64_t, kCoarseOpNames.size()>;

class Ops {
 public:
  virtual ~Ops() = default;

  // Memory. What is made between begin_scope and the matching end_scope is released by the latter.
  virtual Tensor make(int64_t rows, int64_t dim) = 0;
  virtual void begin_scope() = 0;
  virtual void end_scope() = 0;

  // Primitives.
  /// out[r] = table[ids[r]]; out [rows, dim].
  virtual void embed(const Embedding& table, std::span<const int32_t> ids, Tensor out) = 0;
  /// x += y.
  virtual void add(Tensor x, Tensor y) = 0;
  /// x / rms(x) * weight, over the last dimension.
  virtual Tensor rms_norm(Tensor x, const Vector& weight, float eps) = 0;
  /// The same over each head_dim columns of x, in place.
  virtual void head_norm(Tensor x, int64_t head_dim, const Vector& weight, float eps) = 0;
  /// [rows, in] -> [rows, out].
  virtual Tensor linear(Tensor x, const Linear& weight) = 0;
  /// silu(gate) * up.
  virtual Tensor silu_mul(Tensor gate, Tensor up) = 0;
  /// Rotates pairs (i, i + head_dim / 2) of each head in place by the positions of the batch.
  virtual void rope(Tensor x, int64_t head_dim, const Rope& rope, const Batch& batch) = 0;
  /// Stores k and v [rows, kv_heads * head_dim] in the segments' caches at their positions, then causal softmax
  /// attention of q [rows, heads * head_dim] over each segment's own positions 0 .. p. Reads of `spec`: layer, heads,
  /// kv_heads, head_dim, scale, window.
  virtual Tensor attention(Tensor q, Tensor k, Tensor v, const AttentionSpec& spec, const Batch& batch) = 0;
  /// out[i] = x[rows[i]].
  virtual Tensor gather_rows(Tensor x, std::span<const int64_t> rows) = 0;

  // Coarse operations.
  /// Several linears over one input; out has as many elements as weights.
  virtual void linears(Tensor x, std::span<const Linear* const> weights, std::span<Tensor> out);
  /// Head norms, rope, cache and attention.
  virtual Tensor attend(Tensor q, Tensor k, Tensor v, const AttentionSpec& spec, const Batch& batch);
  /// down(silu(gate(x)) * up(x)).
  virtual Tensor gated_mlp(Tensor x, const Linear& gate, const Linear& up, const Linear& down);
  /// x += y where there is a y; then linears over rms_norm(x).
  virtual void norm_linears(Tensor x, const Tensor* y, const Norm& norm, std::span<const Linear* const> weights,
                            std::span<Tensor> out);
  /// x += y where there is a y; then gated_mlp of rms_norm(x).
  virtual Tensor norm_gated_mlp(Tensor x, const Tensor* y, const Norm& norm, const Linear& gate, const Linear& up,
                                const Linear& down);

  /// Default bodies of coarse operations taken since the op set was made: a fast backend should report zeros.
  const CoarseOpCounts& default_bodies() const { return default_bodies_; }

 private:
  void count_default_body(CoarseOp op) { ++default_bodies_[static_cast<size_t>(op)]; }
  CoarseOpCounts default_bodies_ = {};
};

/// begin_scope / end_scope by lifetime.
class OpsScope {
 public:
  explicit OpsScope(Ops& ops) : ops_(ops) { ops_.begin_scope(); }
  ~OpsScope() { ops_.end_scope(); }
  OpsScope(const OpsScope&) = delete;
  OpsScope& operator=(const OpsScope&) = delete;

 private:
  Ops& ops_;
};

}  // namespace paro
