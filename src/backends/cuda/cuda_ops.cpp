#include "backends/cuda/cuda_ops.h"

#include <algorithm>
#include <vector>

#include "backends/cuda/cache.h"
#include "backends/cuda/kernels.h"
#include "backends/cuda/products.h"
#include "backends/cuda/rope_tables.h"
#include "backends/cuda/weights.h"
#include "base/error.h"

namespace paro {
namespace {

// Queries whose scores are computed at a time: half of the scores above the diagonal are never made.
constexpr int64_t kQueryBlock = 512;

template <typename T, typename Base>
const T& on_device(const Base& weight) {
  const auto* made = dynamic_cast<const T*>(&weight);
  PARO_CHECK(made != nullptr);
  return *made;
}

class CudaOps : public Ops {
 public:
  CudaOps(const CudaContext& context, const CudaOptions& options) : context_(context), options_(options) {}
  ~CudaOps() override { release_to(0); }

  Tensor make(int64_t rows, int64_t dim) override {
    PARO_CHECK(!scopes_.empty());
    void* data = context_.allocate(rows * dim * static_cast<int64_t>(sizeof(float)));
    scratch_.push_back(data);
    return {data, rows, dim};
  }
  void begin_scope() override { scopes_.push_back(scratch_.size()); }
  void end_scope() override {
    PARO_CHECK(!scopes_.empty());
    release_to(scopes_.back());
    scopes_.pop_back();
  }

  void embed(const Embedding& table, std::span<const int32_t> ids, Tensor out) override {
    const DeviceValues& values = on_device<CudaEmbedding>(table).table;
    DeviceArray<int32_t> on_gpu(context_, std::ssize(ids));
    on_gpu.from_host(ids.data());
    launch_embed(context_.stream(), values.data(), values.type(), on_gpu.data(), out.rows, out.dim, out.f32());
    check("embed");
  }
  void add(Tensor x, Tensor y) override {
    PARO_CHECK(x.rows == y.rows && x.dim == y.dim);
    launch_add(context_.stream(), x.f32(), y.f32(), x.rows * x.dim);
    check("add");
  }
  Tensor rms_norm(Tensor x, const Vector& weight, float eps) override {
    const Tensor out = make(x.rows, x.dim);
    launch_rms_norm(context_.stream(), x.f32(), vector(weight, x.dim), eps, x.rows, x.dim, out.f32());
    check("rms_norm");
    return out;
  }
  void head_norm(Tensor x, int64_t head_dim, const Vector& weight, float eps) override {
    launch_rms_norm(context_.stream(), x.f32(), vector(weight, head_dim), eps, x.rows * (x.dim / head_dim), head_dim,
                    x.f32());
    check("head_norm");
  }
  Tensor linear(Tensor x, const Linear& weight) override;
  Tensor silu_mul(Tensor gate, Tensor up) override {
    PARO_CHECK(gate.rows == up.rows && gate.dim == up.dim);
    const Tensor out = make(gate.rows, gate.dim);
    launch_silu_mul(context_.stream(), gate.f32(), up.f32(), gate.rows * gate.dim, out.f32());
    check("silu_mul");
    return out;
  }
  void rope(Tensor x, int64_t head_dim, const Rope& rope, const Batch& batch) override {
    PARO_CHECK(x.rows == batch.rows() && x.dim % head_dim == 0 && head_dim == 2 * rope.half());
    const CudaRopeTables::Table table = tables_.get(context_, rope, batch);
    launch_rope(context_.stream(), x.f32(), table.cosine, table.sine, table.row, x.rows, x.dim / head_dim, rope.half());
    check("rope");
  }
  Tensor attention(Tensor q, Tensor k, Tensor v, const AttentionSpec& spec, const Batch& batch) override;
  Tensor gather_rows(Tensor x, std::span<const int64_t> rows) override {
    const Tensor out = make(std::ssize(rows), x.dim);
    DeviceArray<int64_t> on_gpu(context_, std::ssize(rows));
    on_gpu.from_host(rows.data());
    launch_gather_rows(context_.stream(), x.f32(), on_gpu.data(), out.rows, x.dim, out.f32());
    check("gather_rows");
    return out;
  }

 private:
  struct KeysValues {
    float* keys;
    float* values;
  };

  static void check(const char* operation) { cuda_check(cudaGetLastError(), operation); }
  static const float* vector(const Vector& vector, int64_t dim) {
    PARO_CHECK(vector.dim == dim);
    return on_device<CudaVector>(vector).values.data();
  }
  void release_to(size_t mark) {
    for (; scratch_.size() > mark; scratch_.pop_back()) context_.release(scratch_.back());
  }
  /// Stores a segment's keys and values, and where attention finds all of them.
  KeysValues store(const Segment& segment, const float* k, const float* v, int64_t kv_dim, int64_t layer);
  void attend_sequences(const float* q, KeysValues kv, float* out, int64_t sequences, const Segment& segment,
                        const AttentionSpec& spec);

  const CudaContext& context_;
  CudaOptions options_;
  std::vector<void*> scratch_;
  std::vector<size_t> scopes_;
  CudaRopeTables tables_;
};

Tensor CudaOps::linear(Tensor x, const Linear& weight) {
  const auto& w = on_device<CudaLinear>(weight);
  PARO_CHECK(x.dim == w.in);
  const Tensor y = make(x.rows, w.out);
  if (options_.products == CudaProducts::kSplit3) {
    if (w.split.empty()) {
      w.split = DeviceArray<uint16_t>(context_, 3 * w.out * w.in);
      cuda_split_columns(context_, w.weight.widened(context_).data(), w.out, w.in, SplitOrder::kSecond, w.split.data());
    }
    cuda_gemm_split_nt(context_, x.rows, w.out, w.in, x.f32(), w.split.data(), y.f32());
  } else if (w.weight.type() == DeviceType::kF32) {
    cuda_gemm(context_, false, true, x.rows, w.out, w.in, 1.0f, x.f32(), w.in,
              static_cast<const float*>(w.weight.data()), w.in, 0.0f, y.f32(), w.out);
  } else {
    const DeviceArray<float> wide = w.weight.widened(context_);
    cuda_gemm(context_, false, true, x.rows, w.out, w.in, 1.0f, x.f32(), w.in, wide.data(), w.in, 0.0f, y.f32(), w.out);
  }
  if (!w.bias.empty()) launch_add_bias(context_.stream(), y.f32(), w.bias.data(), y.rows, y.dim);
  check("linear");
  return y;
}

CudaOps::KeysValues CudaOps::store(const Segment& segment, const float* k, const float* v, int64_t kv_dim,
                                   int64_t layer) {
  const auto* cache = dynamic_cast<const CudaCache*>(segment.cache);
  PARO_CHECK(cache != nullptr && segment.start + segment.rows <= cache->capacity);
  if (!cache->keeps()) {
    PARO_CHECK(segment.start == 0);
    return {const_cast<float*>(k), const_cast<float*>(v)};
  }
  const size_t bytes = static_cast<size_t>(segment.rows * kv_dim) * sizeof(float);
  const KeysValues kept = {cache->keys(layer), cache->values(layer)};
  cuda_check(cudaMemcpyAsync(kept.keys + segment.start * kv_dim, k, bytes, cudaMemcpyDeviceToDevice, context_.stream()),
             "storing keys");
  cuda_check(
      cudaMemcpyAsync(kept.values + segment.start * kv_dim, v, bytes, cudaMemcpyDeviceToDevice, context_.stream()),
      "storing values");
  return kept;
}

Tensor CudaOps::attention(Tensor q, Tensor k, Tensor v, const AttentionSpec& spec, const Batch& batch) {
  const int64_t kv_dim = spec.kv_heads * spec.head_dim;
  PARO_CHECK(q.dim == spec.heads * spec.head_dim && k.dim == kv_dim && v.dim == kv_dim);
  const Tensor out = make(q.rows, q.dim);
  int64_t row = 0;
  for (size_t first = 0; first < batch.segments.size();) {
    const Segment& segment = batch.segments[first];
    const KeysValues kv = store(segment, k.f32() + row * kv_dim, v.f32() + row * kv_dim, kv_dim, spec.layer);
    // Whole sequences of one length, one behind the other, are one batch.
    size_t last = first + 1;
    if (kv.keys == k.f32() + row * kv_dim)
      while (last < batch.segments.size() && batch.segments[last].start == 0 &&
             batch.segments[last].rows == segment.rows &&
             !on_device<CudaCache, KvCache>(*batch.segments[last].cache).keeps())
        ++last;
    const auto sequences = static_cast<int64_t>(last - first);
    attend_sequences(q.f32() + row * q.dim, kv, out.f32() + row * q.dim, sequences, segment, spec);
    row += sequences * segment.rows;
    first = last;
  }
  return out;
}

void CudaOps::attend_sequences(const float* q, KeysValues kv, float* out, int64_t sequences, const Segment& segment,
                               const AttentionSpec& spec) {
  const cudaStream_t stream = context_.stream();
  const int64_t count = sequences * spec.heads;
  const int64_t dim = spec.heads * spec.head_dim;
  const int64_t kv_dim = spec.kv_heads * spec.head_dim;
  const int64_t share = spec.heads / spec.kv_heads;
  const DeviceArray<float*> addresses(context_, 5 * count);
  float** const query = addresses.data();
  float** const key = query + count;
  float** const value = key + count;
  float** const result = value + count;
  float** const score = result + count;
  launch_head_addresses(stream, kv.keys, sequences, segment.rows, kv_dim, spec.heads, share, spec.head_dim, key);
  launch_head_addresses(stream, kv.values, sequences, segment.rows, kv_dim, spec.heads, share, spec.head_dim, value);
  const int64_t block = std::min(kQueryBlock, segment.rows);
  const DeviceArray<float> scores(context_, count * block * (segment.start + segment.rows));
  for (int64_t first = 0; first < segment.rows; first += block) {
    const int64_t queries = std::min(block, segment.rows - first);
    const int64_t keys = segment.start + first + queries;
    float* const q_block = const_cast<float*>(q) + first * dim;
    launch_head_addresses(stream, q_block, sequences, segment.rows, dim, spec.heads, 1, spec.head_dim, query);
    launch_head_addresses(stream, out + first * dim, sequences, segment.rows, dim, spec.heads, 1, spec.head_dim,
                          result);
    launch_head_addresses(stream, scores.data(), count, 1, queries * keys, 1, 1, 0, score);
    cuda_gemm_batched(context_, false, true, queries, keys, spec.head_dim, spec.scale, query, dim, key, kv_dim, 0.0f,
                      score, keys, count);
    launch_causal_softmax(stream, scores.data(), count, queries, keys, segment.start + first, spec.window);
    cuda_gemm_batched(context_, false, false, queries, spec.head_dim, keys, 1.0f, score, keys, value, kv_dim, 0.0f,
                      result, dim, count);
  }
  check("attention");
}

}  // namespace

CudaCache::CudaCache(const CudaContext& context, const ModelConfig& config, int64_t positions, CacheUse use)
    : keeps_(use == CacheUse::kKeep), layer_values_(positions * config.kv_heads * config.head_dim) {
  capacity = positions;
  if (keeps_) values_ = DeviceArray<float>(context, 2 * config.layers * layer_values_);
}

std::unique_ptr<Ops> make_cuda_ops(const CudaContext& context, const CudaOptions& options) {
  return std::make_unique<CudaOps>(context, options);
}

std::unique_ptr<KvCache> make_cuda_cache(const CudaContext& context, const ModelConfig& config, int64_t capacity,
                                         CacheUse use) {
  return std::make_unique<CudaCache>(context, config, capacity, use);
}

}  // namespace paro
