#include "backends/cpu/cpu_ops.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "backends/cpu/attention.h"
#include "backends/cpu/cache.h"
#include "backends/cpu/profile.h"
#include "backends/cpu/rope_tables.h"
#include "backends/cpu/weights.h"
#include "base/error.h"
#include "kernels/attention/attention.h"
#include "kernels/convert/convert.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rope/rope.h"
#include "kernels/variants.h"

namespace paro {
namespace {

/// Elements that one thread gets through in the time it takes to wake the others.
constexpr int64_t kSerialElements = 8192;
/// Linears of one call: q, k and v are the most there are.
constexpr size_t kMostLinears = 4;

const CpuLinear& cpu_linear(const Linear& weight) {
  const auto* linear = dynamic_cast<const CpuLinear*>(&weight);
  PARO_CHECK(linear != nullptr);
  return *linear;
}

const float* vector_data(const Vector& vector, int64_t dim) {
  const auto* data = dynamic_cast<const CpuVector*>(&vector);
  PARO_CHECK(data != nullptr && data->dim == dim);
  return data->data();
}

OpWork attention_work(const AttentionSpec& spec, const Batch& batch) {
  int64_t seen = 0;  // keys by all rows
  for (const Segment& segment : batch.segments) {
    for (int64_t p = segment.start; p < segment.start + segment.rows; ++p)
      seen += spec.window > 0 ? std::min(p + 1, spec.window) : p + 1;
  }
  return {.bytes = attention_bytes(spec, batch), .f32_macs = seen * spec.heads * spec.head_dim * 2};
}

class CpuOps : public Ops {
 public:
  explicit CpuOps(const CpuOptions& options)
      : pool_(options.threads),
        context_{pool_, arena_, active_isa(), options.activations},
        convert_(variant_for(convert_variants(), context_.isa)),
        elements_(variant_for(elementwise_variants(), context_.isa)),
        norms_(variant_for(norm_variants(), context_.isa)),
        rope_(variant_for(rope_variants(), context_.isa)),
        profiler_(options.profile) {
    scopes_.reserve(64);
  }

  Tensor make(int64_t rows, int64_t dim) override {
    PARO_CHECK(rows >= 0 && dim >= 0);
    return {arena_.array<float>(rows * dim), rows, dim};
  }
  void begin_scope() override { scopes_.push_back(arena_.mark()); }
  void end_scope() override {
    PARO_CHECK(!scopes_.empty());
    arena_.release(scopes_.back());
    scopes_.pop_back();
    if (scopes_.empty()) tables_.clear();
  }

  void embed(const Embedding& table, std::span<const int32_t> ids, Tensor out) override;
  void add(Tensor x, Tensor y) override;
  Tensor rms_norm(Tensor x, const Vector& weight, float eps) override;
  void head_norm(Tensor x, int64_t head_dim, const Vector& weight, float eps) override;
  Tensor linear(Tensor x, const Linear& weight) override;
  Tensor silu_mul(Tensor gate, Tensor up) override;
  void rope(Tensor x, int64_t head_dim, const Rope& rope, const Batch& batch) override;
  Tensor attention(Tensor q, Tensor k, Tensor v, const AttentionSpec& spec, const Batch& batch) override;
  Tensor gather_rows(Tensor x, std::span<const int64_t> rows) override;

  void linears(Tensor x, std::span<const Linear* const> weights, std::span<Tensor> out) override;
  Tensor attend(Tensor q, Tensor k, Tensor v, const AttentionSpec& spec, const Batch& batch) override;
  Tensor gated_mlp(Tensor x, const Linear& gate, const Linear& up, const Linear& down) override;
  void norm_linears(Tensor x, const Tensor* y, const Norm& norm, std::span<const Linear* const> weights,
                    std::span<Tensor> out) override;
  Tensor norm_gated_mlp(Tensor x, const Tensor* y, const Norm& norm, const Linear& gate, const Linear& up,
                        const Linear& down) override;

  Profiler& profiler() { return profiler_; }
  const Profiler& profiler() const { return profiler_; }
  const Arena& arena() const { return arena_; }
  CpuContext& context() { return context_; }
  const CpuContext& context() const { return context_; }
  ThreadPool& pool() { return pool_; }

 private:
  using Timer = Profiler::Timer;

  /// body(begin, end) over rows, in parallel where there is enough to do.
  template <typename Body>
  void for_rows(int64_t rows, int64_t dim, const Body& body) {
    const int64_t grain = std::max<int64_t>(1, kSerialElements / std::max<int64_t>(dim, 1));
    pool_.parallel_for(rows, grain, body);
  }
  void multiply(std::span<const CpuLinear* const> weights, const PreparedInput& input, std::span<float* const> y) {
    OpWork work;
    std::string roles;
    for (const CpuLinear* weight : weights) {
      if (!profiler_.on()) break;
      const int64_t macs = input.rows * weight->in * weight->out;
      work.bytes += weight->weight_bytes();
      (input.q != nullptr ? work.int8_macs : work.f32_macs) += macs;
      if (!roles.empty()) roles += '+';
      roles += linear_role(weight->name);
    }
    const Timer timer(profiler_, "multiply", work, roles);
    multiply_together(context_, weights, input, y);
  }
  /// Checks the weights of an input like x and makes their results.
  void make_outputs(Tensor x, std::span<const Linear* const> weights, std::span<Tensor> out);
  /// x += y where there is a y; rms_norm(x) as an input, its factors in the arena.
  LinearInput normalised(Tensor x, const Tensor* y, const Norm& norm);
  /// Each distinct preparation of the input once (`step` names it in the profile), then the products into `out`.
  void linears_of(const LinearInput& from, std::string_view step, std::span<const Linear* const> weights,
                  std::span<Tensor> out);
  void gated_mlp_of(const LinearInput& from, std::string_view step, const Linear& gate, const Linear& up,
                    const Linear& down, Tensor out);
  /// Writes k and v to the caches; with spec.rope or head norms, q and k are transformed on the way, in place.
  void store_batch(Tensor q, Tensor k, Tensor v, const AttentionSpec& spec, const Batch& batch, bool transform);
  Tensor attend_stored(Tensor q, const AttentionSpec& spec, const Batch& batch);

  ThreadPool pool_;
  Arena arena_;
  CpuContext context_;
  const ConvertKernels& convert_;
  const ElementKernels& elements_;
  const NormKernels& norms_;
  const RopeKernels& rope_;
  std::vector<Arena::Mark> scopes_;
  RopeTables tables_;
  Profiler profiler_;
};

void CpuOps::embed(const Embedding& table, std::span<const int32_t> ids, Tensor out) {
  const auto* embedding = dynamic_cast<const CpuEmbedding*>(&table);
  PARO_CHECK(embedding != nullptr);
  PARO_CHECK(out.dim == table.dim && out.rows == static_cast<int64_t>(ids.size()));
  const Timer timer(profiler_, "embed", {.bytes = out.rows * embedding->row_bytes()});
  for (const int32_t id : ids)
    if (id < 0 || id >= table.vocab) fail_input("token id {}: expected 0 to {}", id, table.vocab - 1);
  for_rows(out.rows, out.dim, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      embedding->copy_row(convert_, ids[static_cast<size_t>(r)], out.f32() + r * out.dim);
  });
}

void CpuOps::add(Tensor x, Tensor y) {
  PARO_CHECK(x.rows == y.rows && x.dim == y.dim);
  const Timer timer(profiler_, "add");
  for_rows(x.rows, x.dim, [&](int64_t begin, int64_t end) {
    elements_.add(x.f32() + begin * x.dim, y.f32() + begin * x.dim, (end - begin) * x.dim);
  });
}

Tensor CpuOps::rms_norm(Tensor x, const Vector& weight, float eps) {
  const Timer timer(profiler_, "rms_norm", {.bytes = x.dim * 4});
  const float* w = vector_data(weight, x.dim);
  const Tensor out = make(x.rows, x.dim);
  for_rows(x.rows, x.dim, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) norms_.rms_norm(x.f32() + r * x.dim, w, eps, x.dim, out.f32() + r * x.dim);
  });
  return out;
}

void CpuOps::head_norm(Tensor x, int64_t head_dim, const Vector& weight, float eps) {
  PARO_CHECK(head_dim > 0 && x.dim % head_dim == 0);
  const Timer timer(profiler_, "head_norm", {.bytes = head_dim * 4});
  const float* w = vector_data(weight, head_dim);
  for_rows(x.rows, x.dim, [&](int64_t begin, int64_t end) {
    for (float* head = x.f32() + begin * x.dim; head < x.f32() + end * x.dim; head += head_dim)
      norms_.rms_norm(head, w, eps, head_dim, head);
  });
}

Tensor CpuOps::linear(Tensor x, const Linear& weight) {
  const Linear* weights[] = {&weight};
  Tensor out[1];
  linears(x, weights, out);
  return out[0];
}

void CpuOps::linears(Tensor x, std::span<const Linear* const> weights, std::span<Tensor> out) {
  make_outputs(x, weights, out);
  linears_of({x.f32()}, "prepare", weights, out);
}

void CpuOps::norm_linears(Tensor x, const Tensor* y, const Norm& norm, std::span<const Linear* const> weights,
                          std::span<Tensor> out) {
  make_outputs(x, weights, out);
  const ArenaScope scope(arena_);
  linears_of(normalised(x, y, norm), "norm, prepare", weights, out);
}

void CpuOps::make_outputs(Tensor x, std::span<const Linear* const> weights, std::span<Tensor> out) {
  PARO_CHECK(weights.size() == out.size() && weights.size() <= kMostLinears);
  for (size_t i = 0; i < weights.size(); ++i) {
    PARO_CHECK(weights[i]->in == x.dim);
    out[i] = make(x.rows, weights[i]->out);
  }
}

LinearInput CpuOps::normalised(Tensor x, const Tensor* y, const Norm& norm) {
  PARO_CHECK(y == nullptr || (x.rows == y->rows && x.dim == y->dim));
  const Timer timer(profiler_, y == nullptr ? "norm" : "add, norm", {.bytes = x.dim * 4});
  auto* factors = arena_.array<float>(x.rows);
  for_rows(x.rows, x.dim, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* row = x.f32() + r * x.dim;
      factors[r] = y == nullptr ? norms_.factor(row, norm.eps, x.dim)
                                : norms_.add_factor(row, y->f32() + r * x.dim, norm.eps, x.dim);
    }
  });
  return {.x = x.f32(), .norm = vector_data(norm.weight, x.dim), .factors = factors};
}

void CpuOps::linears_of(const LinearInput& from, std::string_view step, std::span<const Linear* const> weights,
                        std::span<Tensor> out) {
  const ArenaScope scope(arena_);
  const auto is_first_of_its_input = [&](size_t i) {
    for (size_t j = 0; j < i; ++j)
      if (cpu_linear(*weights[j]).same_input(cpu_linear(*weights[i]))) return false;
    return true;
  };
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!is_first_of_its_input(i)) continue;
    const CpuLinear& first = cpu_linear(*weights[i]);
    PreparedInput input;
    {
      const Timer timer(profiler_, step, {}, linear_role(first.name));
      input = first.prepare(context_, from, out[i].rows);
    }
    std::array<const CpuLinear*, kMostLinears> same;
    std::array<float*, kMostLinears> results;
    size_t count = 0;
    for (size_t j = i; j < weights.size(); ++j) {
      const CpuLinear& weight = cpu_linear(*weights[j]);
      if (j != i && !first.same_input(weight)) continue;
      same[count] = &weight;
      results[count++] = out[j].f32();
    }
    multiply({same.data(), count}, input, {results.data(), count});
  }
}

Tensor CpuOps::silu_mul(Tensor gate, Tensor up) {
  PARO_CHECK(gate.rows == up.rows && gate.dim == up.dim);
  const Tensor out = make(gate.rows, gate.dim);
  const Timer timer(profiler_, "silu_mul");
  pool_.parallel_for(gate.rows * gate.dim, kSerialElements / 2, [&](int64_t begin, int64_t end) {
    elements_.silu_mul(gate.f32() + begin, up.f32() + begin, out.f32() + begin, end - begin);
  });
  return out;
}

Tensor CpuOps::gated_mlp(Tensor x, const Linear& gate, const Linear& up, const Linear& down) {
  const Tensor out = make(x.rows, down.out);
  const ArenaScope scope(arena_);
  gated_mlp_of({x.f32()}, "prepare", gate, up, down, out);
  return out;
}

Tensor CpuOps::norm_gated_mlp(Tensor x, const Tensor* y, const Norm& norm, const Linear& gate, const Linear& up,
                              const Linear& down) {
  const Tensor out = make(x.rows, down.out);
  const ArenaScope scope(arena_);
  gated_mlp_of(normalised(x, y, norm), "norm, prepare", gate, up, down, out);
  return out;
}

void CpuOps::gated_mlp_of(const LinearInput& from, std::string_view step, const Linear& gate, const Linear& up,
                          const Linear& down, Tensor out) {
  PARO_CHECK(gate.out == down.in && up.out == down.in);
  const Linear* weights[] = {&gate, &up};
  Tensor hidden[] = {make(out.rows, gate.out), make(out.rows, up.out)};
  linears_of(from, step, weights, hidden);
  const Linear* last[] = {&down};
  linears_of({.x = hidden[0].f32(), .up = hidden[1].f32()}, "silu_mul, prepare", last, {&out, 1});
}

void CpuOps::rope(Tensor x, int64_t head_dim, const Rope& rope, const Batch& batch) {
  const int64_t half = rope.half();
  PARO_CHECK(x.rows == batch.rows() && x.dim % head_dim == 0 && 2 * half <= head_dim);
  const Timer timer(profiler_, "rope");
  const RopeTables::Table table = tables_.get(pool_, rope, batch);
  if (scopes_.empty()) tables_.clear();
  for_rows(x.rows, x.dim, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t c = 0; c < x.dim; c += head_dim)
        rope_.rotate(x.f32() + r * x.dim + c, table.cos + r * half, table.sin + r * half, half);
  });
}

void CpuOps::store_batch(Tensor q, Tensor k, Tensor v, const AttentionSpec& spec, const Batch& batch, bool transform) {
  const int64_t head_dim = spec.head_dim;
  PARO_CHECK(k.dim == spec.kv_heads * head_dim && v.dim == k.dim && q.dim == spec.heads * head_dim);
  PARO_CHECK(q.rows == batch.rows() && k.rows == batch.rows() && v.rows == batch.rows());
  const float* q_norm = transform && spec.q_norm != nullptr ? vector_data(*spec.q_norm, head_dim) : nullptr;
  const float* k_norm = transform && spec.k_norm != nullptr ? vector_data(*spec.k_norm, head_dim) : nullptr;
  RopeTables::Table table;
  int64_t half = 0;
  if (transform && spec.rope != nullptr) {
    half = spec.rope->half();
    PARO_CHECK(2 * half <= head_dim);
    table = tables_.get(pool_, *spec.rope, batch);
    if (scopes_.empty()) tables_.clear();
  }
  const auto transform_heads = [&](float* row, int64_t heads, const float* norm, int64_t r) {
    for (float* head = row; head < row + heads * head_dim; head += head_dim) {
      if (norm != nullptr) norms_.rms_norm(head, norm, spec.norm_eps, head_dim, head);
      if (half > 0) rope_.rotate(head, table.cos + r * half, table.sin + r * half, half);
    }
  };
  int64_t first_row = 0;
  for (const Segment& segment : batch.segments) {
    const auto* cache = dynamic_cast<const CpuCache*>(segment.cache);
    PARO_CHECK(cache != nullptr && segment.start >= 0 && segment.start + segment.rows <= cache->capacity);
    PARO_CHECK(spec.layer >= 0 && spec.layer < cache->layers());
    PARO_CHECK(spec.kv_heads == cache->kv_heads() && head_dim == cache->head_dim());
    for_rows(segment.rows, q.dim + 2 * k.dim, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t r = first_row + i;
        float* k_row = k.f32() + r * k.dim;
        if (transform) {
          transform_heads(q.f32() + r * q.dim, spec.heads, q_norm, r);
          transform_heads(k_row, spec.kv_heads, k_norm, r);
        }
        for (int64_t h = 0; h < spec.kv_heads; ++h)
          cache->kernels().store_position(cache->head(spec.layer, h), segment.start + i, k_row + h * head_dim,
                                          v.f32() + r * v.dim + h * head_dim);
      }
    });
    first_row += segment.rows;
  }
  PARO_CHECK(first_row == batch.rows());
}

Tensor CpuOps::attend_stored(Tensor q, const AttentionSpec& spec, const Batch& batch) {
  const Timer timer(profiler_, "attention", profiler_.on() ? attention_work(spec, batch) : OpWork{});
  const Tensor out = make(q.rows, q.dim);
  attend_batch(pool_, arena_, spec, batch, q.f32(), out.f32());
  return out;
}

Tensor CpuOps::attention(Tensor q, Tensor k, Tensor v, const AttentionSpec& spec, const Batch& batch) {
  store_batch(q, k, v, spec, batch, false);
  return attend_stored(q, spec, batch);
}

Tensor CpuOps::attend(Tensor q, Tensor k, Tensor v, const AttentionSpec& spec, const Batch& batch) {
  {
    const Timer timer(profiler_, "norm_rope_store");
    store_batch(q, k, v, spec, batch, true);
  }
  return attend_stored(q, spec, batch);
}

Tensor CpuOps::gather_rows(Tensor x, std::span<const int64_t> rows) {
  const Tensor out = make(static_cast<int64_t>(rows.size()), x.dim);
  for (int64_t i = 0; i < out.rows; ++i) {
    const int64_t row = rows[static_cast<size_t>(i)];
    PARO_CHECK(row >= 0 && row < x.rows);
    std::memcpy(out.f32() + i * x.dim, x.f32() + row * x.dim, static_cast<size_t>(x.dim) * sizeof(float));
  }
  return out;
}

const CpuOps& cpu_ops(const Ops& ops) {
  const auto* cpu = dynamic_cast<const CpuOps*>(&ops);
  PARO_CHECK(cpu != nullptr);
  return *cpu;
}

CpuOps& cpu_ops(Ops& ops) { return const_cast<CpuOps&>(cpu_ops(std::as_const(ops))); }

}  // namespace

std::unique_ptr<Ops> make_cpu_ops(const CpuOptions& options) { return std::make_unique<CpuOps>(options); }

std::vector<OpProfile> profile_of(const Ops& ops) { return cpu_ops(ops).profiler().operations(); }
void reset_profile(Ops& ops) { cpu_ops(ops).profiler().reset(); }
int64_t arena_bytes(const Ops& ops) { return static_cast<int64_t>(cpu_ops(ops).arena().capacity()); }
void set_activations(Ops& ops, Activations activations) { cpu_ops(ops).context().activations = activations; }
Activations activations_of(const Ops& ops) { return cpu_ops(ops).context().activations; }
ThreadPool& thread_pool_of(Ops& ops) { return cpu_ops(ops).pool(); }

}  // namespace paro
