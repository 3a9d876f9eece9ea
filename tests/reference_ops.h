// The operations once more, as plainly as they can be said: scalar loops, f32 storage, sums in double, an f32 cache.
// What models and the CPU's op set are compared with. For tests only.
#pragma once

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <vector>

#include "base/dtype.h"
#include "base/error.h"
#include "model/model.h"
#include "quant/paro4/format.h"

namespace paro {

struct ReferenceLinear : Linear {
  std::vector<float> weight;  // [out, in]
  std::vector<float> bias;    // [out] or empty
};

struct ReferenceEmbedding : Embedding {
  std::vector<float> table;  // [vocab, dim]
};

struct ReferenceVector : Vector {
  std::vector<float> values;  // [dim]
};

/// Dense tensors, and ParoQuant ones turned back into dense weights.
class ReferenceFactory : public WeightFactory {
 public:
  std::unique_ptr<Linear> linear(const WeightSource& source, const std::string& name, int64_t out, int64_t in,
                                 bool bias) override {
    auto result = std::make_unique<ReferenceLinear>();
    result->name = name;
    result->out = out;
    result->in = in;
    if (source.has(name + ".qweight")) {
      const Paro4Weight packed = read_paro4(source, name, out, in, bias);
      result->weight = dequantize_paro4(packed);
      result->bias = packed.bias;
      return result;
    }
    source.require(name + ".weight", {out, in});
    result->weight = source.load_f32(name + ".weight");
    if (bias) {
      source.require(name + ".bias", {out});
      result->bias = source.load_f32(name + ".bias");
    }
    return result;
  }

  std::unique_ptr<Embedding> embedding(const WeightSource& source, const std::string& name, int64_t vocab,
                                       int64_t dim) override {
    auto result = std::make_unique<ReferenceEmbedding>();
    result->vocab = vocab;
    result->dim = dim;
    source.require(name + ".weight", {vocab, dim});
    result->table = source.load_f32(name + ".weight");
    return result;
  }

  std::unique_ptr<Vector> vector(const WeightSource& source, const std::string& name, int64_t dim) override {
    auto result = std::make_unique<ReferenceVector>();
    result->dim = dim;
    source.require(name + ".weight", {dim});
    result->values = source.load_f32(name + ".weight");
    return result;
  }
};

struct ReferenceCache : KvCache {
  /// `f16`: keys and values are rounded as the CPU's cache stores them.
  ReferenceCache(const ModelConfig& config, int64_t positions, bool f16 = false)
      : half(f16),
        width(config.kv_heads * config.head_dim),
        keys(static_cast<size_t>(config.layers), std::vector<float>(static_cast<size_t>(positions * width))),
        values(keys) {
    capacity = positions;
  }
  void store(std::vector<float>& to, int64_t position, const float* row) const {
    for (int64_t i = 0; i < width; ++i)
      to[static_cast<size_t>(position * width + i)] = half ? f16_to_f32(f32_to_f16(row[i])) : row[i];
  }
  bool half;
  int64_t width;
  std::vector<std::vector<float>> keys;    // [layers][capacity, width]
  std::vector<std::vector<float>> values;  // the same
};

class ReferenceOps : public Ops {
 public:
  Tensor make(int64_t rows, int64_t dim) override {
    memory_.emplace_back(static_cast<size_t>(rows * dim), NAN);
    return {memory_.back().data(), rows, dim};
  }
  void begin_scope() override { scopes_.push_back(memory_.size()); }
  void end_scope() override {
    memory_.resize(scopes_.back());
    scopes_.pop_back();
  }

  void embed(const Embedding& table, std::span<const int32_t> ids, Tensor out) override {
    const auto& from = dynamic_cast<const ReferenceEmbedding&>(table);
    for (int64_t r = 0; r < out.rows; ++r)
      for (int64_t i = 0; i < out.dim; ++i)
        row(out, r)[i] = from.table[static_cast<size_t>(ids[static_cast<size_t>(r)] * out.dim + i)];
  }

  void add(Tensor x, Tensor y) override {
    PARO_CHECK(x.rows == y.rows && x.dim == y.dim);
    for (int64_t i = 0; i < x.rows * x.dim; ++i) x.f32()[i] += y.f32()[i];
  }

  Tensor rms_norm(Tensor x, const Vector& weight, float eps) override {
    PARO_CHECK(x.dim == weight.dim);
    const Tensor out = make(x.rows, x.dim);
    for (int64_t r = 0; r < x.rows; ++r) normalize(row(x, r), row(out, r), weight, eps);
    return out;
  }

  void head_norm(Tensor x, int64_t head_dim, const Vector& weight, float eps) override {
    PARO_CHECK(weight.dim == head_dim && x.dim % head_dim == 0);
    for (int64_t r = 0; r < x.rows; ++r)
      for (int64_t i = 0; i < x.dim; i += head_dim) normalize(row(x, r) + i, row(x, r) + i, weight, eps);
  }

  Tensor linear(Tensor x, const Linear& weight) override {
    const auto& w = dynamic_cast<const ReferenceLinear&>(weight);
    PARO_CHECK(x.dim == w.in);
    const Tensor out = make(x.rows, w.out);
    for (int64_t r = 0; r < x.rows; ++r)
      for (int64_t o = 0; o < w.out; ++o) {
        double sum = w.bias.empty() ? 0.0 : w.bias[static_cast<size_t>(o)];
        for (int64_t i = 0; i < w.in; ++i) sum += double{row(x, r)[i]} * w.weight[static_cast<size_t>(o * w.in + i)];
        row(out, r)[o] = static_cast<float>(sum);
      }
    return out;
  }

  Tensor silu_mul(Tensor gate, Tensor up) override {
    const Tensor out = make(gate.rows, gate.dim);
    for (int64_t i = 0; i < gate.rows * gate.dim; ++i) {
      const double g = gate.f32()[i];
      out.f32()[i] = static_cast<float>(g / (1.0 + std::exp(-g)) * up.f32()[i]);
    }
    return out;
  }

  void rope(Tensor x, int64_t head_dim, const Rope& rope, const Batch& batch) override {
    std::vector<float> cos(static_cast<size_t>(head_dim / 2));
    std::vector<float> sin(cos);
    int64_t r = 0;
    for (const Segment& segment : batch.segments)
      for (int64_t p = segment.start; p < segment.start + segment.rows; ++p, ++r) {
        rope.fill(p, segment.start + segment.rows, cos.data(), sin.data());
        for (int64_t head = 0; head < x.dim; head += head_dim)
          for (int64_t i = 0; i < head_dim / 2; ++i) {
            float& a = row(x, r)[head + i];
            float& b = row(x, r)[head + i + head_dim / 2];
            const float c = cos[static_cast<size_t>(i)];
            const float s = sin[static_cast<size_t>(i)];
            const float rotated = a * c - b * s;
            b = b * c + a * s;
            a = rotated;
          }
      }
  }

  Tensor attention(Tensor q, Tensor k, Tensor v, const AttentionSpec& spec, const Batch& batch) override {
    const Tensor out = make(q.rows, q.dim);
    const auto layer = static_cast<size_t>(spec.layer);
    int64_t r = 0;
    for (const Segment& segment : batch.segments) {
      auto& cache = dynamic_cast<ReferenceCache&>(*segment.cache);
      for (int64_t p = segment.start; p < segment.start + segment.rows; ++p, ++r) {
        cache.store(cache.keys[layer], p, row(k, r));
        cache.store(cache.values[layer], p, row(v, r));
        for (int64_t head = 0; head < spec.heads; ++head) attend_head(row(q, r), row(out, r), head, p, cache, spec);
      }
    }
    return out;
  }

  Tensor gather_rows(Tensor x, std::span<const int64_t> rows) override {
    const Tensor out = make(static_cast<int64_t>(rows.size()), x.dim);
    for (int64_t r = 0; r < out.rows; ++r) std::copy_n(row(x, rows[static_cast<size_t>(r)]), x.dim, row(out, r));
    return out;
  }

 private:
  static float* row(Tensor x, int64_t r) { return x.f32() + r * x.dim; }

  static void normalize(const float* x, float* out, const Vector& weight, float eps) {
    const auto& w = dynamic_cast<const ReferenceVector&>(weight).values;
    double sum = 0.0;
    for (size_t i = 0; i < w.size(); ++i) sum += double{x[i]} * x[i];
    const double scale = 1.0 / std::sqrt(sum / static_cast<double>(w.size()) + eps);
    for (size_t i = 0; i < w.size(); ++i) out[i] = static_cast<float>(x[i] * scale * w[i]);
  }

  static void attend_head(const float* q, float* out, int64_t head, int64_t position, const ReferenceCache& cache,
                          const AttentionSpec& spec) {
    const auto layer = static_cast<size_t>(spec.layer);
    const int64_t dim = spec.head_dim;
    const int64_t offset = head / (spec.heads / spec.kv_heads) * dim;
    const int64_t first = spec.window > 0 ? std::max<int64_t>(0, position - spec.window + 1) : 0;
    std::vector<double> scores;
    double highest = -INFINITY;
    for (int64_t p = first; p <= position; ++p) {
      const float* key = cache.keys[layer].data() + p * cache.width + offset;
      double score = 0.0;
      for (int64_t i = 0; i < dim; ++i) score += double{q[head * dim + i]} * key[i];
      scores.push_back(score * spec.scale);
      highest = std::max(highest, scores.back());
    }
    double total = 0.0;
    std::vector<double> sums(static_cast<size_t>(dim));
    for (int64_t p = first; p <= position; ++p) {
      const double share = std::exp(scores[static_cast<size_t>(p - first)] - highest);
      const float* value = cache.values[layer].data() + p * cache.width + offset;
      total += share;
      for (int64_t i = 0; i < dim; ++i) sums[static_cast<size_t>(i)] += share * value[i];
    }
    for (int64_t i = 0; i < dim; ++i) out[head * dim + i] = static_cast<float>(sums[static_cast<size_t>(i)] / total);
  }

  std::deque<std::vector<float>> memory_;
  std::vector<size_t> scopes_;
};

}  // namespace paro
