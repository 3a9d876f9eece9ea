#include "train/torch_ops.h"

#include <torch/version.h>

#include <cmath>

#include "base/error.h"

namespace paro::train {
namespace {

template <typename T, typename Base>
const T& torch_of(const Base& weight) {
  const auto* made = dynamic_cast<const T*>(&weight);
  PARO_CHECK(made != nullptr);
  return *made;
}

at::Tensor normalized(const at::Tensor& x, const Vector& weight, double eps) {
  return x * (x.square().mean(-1, true) + eps).rsqrt() * torch_of<TorchVector>(weight).values;
}

/// Which keys a query sees, [rows, rows] of bool: 0 .. p, or the last `window` of them.
at::Tensor seen_keys(int64_t rows, int64_t window, at::Device device) {
  at::Tensor seen = at::ones({rows, rows}, at::TensorOptions(device).dtype(at::kBool)).tril();
  return window > 0 ? seen.triu(1 - window) : seen;
}

/// q [n, heads, rows, head_dim], k and v [n, kv_heads, rows, head_dim] -> [n, heads, rows, head_dim].
at::Tensor attend_whole(const at::Tensor& q, at::Tensor k, at::Tensor v, const AttentionSpec& spec) {
  if (spec.kv_heads < spec.heads) {
    k = k.repeat_interleave(spec.heads / spec.kv_heads, 1);
    v = v.repeat_interleave(spec.heads / spec.kv_heads, 1);
  }
  const bool windowed = spec.window > 0 && spec.window < q.size(2);
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 1)
  const c10::optional<at::Tensor> mask =
      windowed ? c10::optional<at::Tensor>(seen_keys(q.size(2), spec.window, q.device())) : c10::nullopt;
  return at::scaled_dot_product_attention(q, k, v, mask, 0.0, !windowed, static_cast<double>(spec.scale));
#else
  at::Tensor scores = at::matmul(q, k.transpose(2, 3)).to(at::kFloat) * static_cast<double>(spec.scale);
  scores = scores.masked_fill(seen_keys(q.size(2), windowed ? spec.window : 0, q.device()).logical_not(), -INFINITY);
  return at::matmul(scores.softmax(-1).to(v.scalar_type()), v);
#endif
}

}  // namespace

at::Tensor to_device(const std::vector<float>& values, at::IntArrayRef shape, at::Device device) {
  // The values are copied in any case: from_blob would refer to them.
  return at::from_blob(const_cast<float*>(values.data()), shape, at::TensorOptions(at::kFloat)).clone().to(device);
}

std::vector<float> to_host(const at::Tensor& tensor) {
  const at::Tensor host = tensor.detach().to(at::kCPU, at::kFloat).contiguous();
  return {host.data_ptr<float>(), host.data_ptr<float>() + host.numel()};
}

Tensor TorchOps::wrap(at::Tensor value) {
  PARO_CHECK(!scopes_.empty() && value.dim() == 2);
  const Tensor handle = {nullptr, value.size(0), value.size(1)};
  values_.push_back(std::move(value));
  return {&values_.back(), handle.rows, handle.dim};
}

Tensor TorchOps::make(int64_t rows, int64_t dim) {
  return wrap(at::empty({rows, dim}, at::TensorOptions(options_.device).dtype(at::kFloat)));
}

void TorchOps::end_scope() {
  PARO_CHECK(!scopes_.empty());
  values_.resize(scopes_.back());
  scopes_.pop_back();
}

void TorchOps::embed(const Embedding& table, std::span<const int32_t> ids, Tensor out) {
  const at::Tensor index =
      at::from_blob(const_cast<int32_t*>(ids.data()), {std::ssize(ids)}, at::TensorOptions(at::kInt))
          .to(at::TensorOptions(options_.device).dtype(at::kLong));
  value(out) = torch_of<TorchEmbedding>(table).table.index_select(0, index);
}

void TorchOps::add(Tensor x, Tensor y) {
  PARO_CHECK(x.rows == y.rows && x.dim == y.dim);
  value(x) = value(x) + value(y);
}

Tensor TorchOps::rms_norm(Tensor x, const Vector& weight, float eps) {
  PARO_CHECK(weight.dim == x.dim);
  return wrap(normalized(value(x), weight, static_cast<double>(eps)));
}

void TorchOps::head_norm(Tensor x, int64_t head_dim, const Vector& weight, float eps) {
  PARO_CHECK(weight.dim == head_dim && x.dim % head_dim == 0);
  value(x) = normalized(value(x).view({x.rows, -1, head_dim}), weight, static_cast<double>(eps)).view({x.rows, x.dim});
}

Tensor TorchOps::linear(Tensor x, const Linear& weight) {
  const auto& w = torch_of<TorchLinear>(weight);
  PARO_CHECK(x.dim == w.in);
  at::Tensor y = at::linear(value(x).to(options_.products), w.weight.to(options_.products)).to(at::kFloat);
  if (w.bias.defined()) y = y + w.bias;
  return wrap(std::move(y));
}

Tensor TorchOps::silu_mul(Tensor gate, Tensor up) {
  PARO_CHECK(gate.rows == up.rows && gate.dim == up.dim);
  return wrap(at::silu(value(gate)) * value(up));
}

const TorchOps::RopeTable& TorchOps::rope_table(const Rope& rope, const Batch& batch) {
  std::vector<int64_t> key;
  for (const Segment& segment : batch.segments) key.insert(key.end(), {segment.start, segment.rows});
  if (key != rope_key_) {
    rope_tables_.clear();
    rope_key_ = std::move(key);
  }
  const auto half = static_cast<size_t>(rope.half());
  const Segment& end = batch.segments.back();
  std::vector<float> sample(2 * half);
  rope.fill(end.start + end.rows - 1, end.start + end.rows, sample.data(), sample.data() + half);
  RopeTable& table = rope_tables_[&rope];
  if (table.sample == sample) return table;
  table.sample = std::move(sample);
  std::vector<float> cosine(static_cast<size_t>(batch.rows()) * half), sine(cosine.size());
  size_t row = 0;
  for (const Segment& segment : batch.segments)
    for (int64_t i = 0; i < segment.rows; ++i, ++row)
      rope.fill(segment.start + i, segment.start + segment.rows, cosine.data() + row * half, sine.data() + row * half);
  table.cosine = to_device(cosine, {batch.rows(), 1, rope.half()}, options_.device);
  table.sine = to_device(sine, {batch.rows(), 1, rope.half()}, options_.device);
  return table;
}

void TorchOps::rope(Tensor x, int64_t head_dim, const Rope& rope, const Batch& batch) {
  PARO_CHECK(x.rows == batch.rows() && x.dim % head_dim == 0 && head_dim == 2 * rope.half());
  const RopeTable& table = rope_table(rope, batch);
  const at::Tensor heads = value(x).view({x.rows, -1, head_dim});
  const at::Tensor a = heads.narrow(2, 0, rope.half());
  const at::Tensor b = heads.narrow(2, rope.half(), rope.half());
  value(x) = at::cat({a * table.cosine - b * table.sine, b * table.cosine + a * table.sine}, 2).view({x.rows, x.dim});
}

Tensor TorchOps::attention(Tensor q, Tensor k, Tensor v, const AttentionSpec& spec, const Batch& batch) {
  std::vector<at::Tensor> parts;
  int64_t row = 0;
  for (size_t first = 0; first < batch.segments.size();) {
    const int64_t length = batch.segments[first].rows;
    size_t last = first;
    // Sequences of one length, one behind the other, are one batch.
    for (; last < batch.segments.size() && batch.segments[last].rows == length; ++last)
      PARO_CHECK(batch.segments[last].start == 0 && dynamic_cast<TorchCache*>(batch.segments[last].cache) != nullptr);
    const auto count = static_cast<int64_t>(last - first);
    const auto heads_of = [&](Tensor x, int64_t heads) {
      return value(x)
          .narrow(0, row, count * length)
          .view({count, length, heads, spec.head_dim})
          .transpose(1, 2)
          .to(options_.products);
    };
    const at::Tensor out =
        attend_whole(heads_of(q, spec.heads), heads_of(k, spec.kv_heads), heads_of(v, spec.kv_heads), spec);
    parts.push_back(out.transpose(1, 2).reshape({count * length, q.dim}).to(at::kFloat));
    row += count * length;
    first = last;
  }
  return wrap(parts.size() == 1 ? parts[0] : at::cat(parts));
}

Tensor TorchOps::gather_rows(Tensor x, std::span<const int64_t> rows) {
  const at::Tensor index = at::tensor(at::ArrayRef<int64_t>(rows.data(), rows.size()), at::kLong).to(options_.device);
  return wrap(value(x).index_select(0, index));
}

std::unique_ptr<Linear> TorchWeightFactory::linear(const WeightSource& source, const std::string& name, int64_t out,
                                                   int64_t in, bool bias) {
  if (source.has(name + ".qweight"))
    fail_input("{}: \"{}\" is quantized: training expects full precision", source.place(name + ".qweight"), name);
  source.require(name + ".weight", {out, in});
  if (bias) source.require(name + ".bias", {out});
  auto made = std::make_unique<TorchLinear>();
  made->name = name;
  made->out = out;
  made->in = in;
  made->weight = to_device(source.load_f32(name + ".weight"), {out, in}, device_);
  if (bias) made->bias = to_device(source.load_f32(name + ".bias"), {out}, device_);
  return made;
}

std::unique_ptr<Embedding> TorchWeightFactory::embedding(const WeightSource& source, const std::string& name,
                                                         int64_t vocab, int64_t dim) {
  source.require(name + ".weight", {vocab, dim});
  auto made = std::make_unique<TorchEmbedding>();
  made->vocab = vocab;
  made->dim = dim;
  made->table = to_device(source.load_f32(name + ".weight"), {vocab, dim}, device_);
  return made;
}

std::unique_ptr<Vector> TorchWeightFactory::vector(const WeightSource& source, const std::string& name, int64_t dim) {
  source.require(name + ".weight", {dim});
  auto made = std::make_unique<TorchVector>();
  made->dim = dim;
  made->values = to_device(source.load_f32(name + ".weight"), {dim}, device_);
  vectors_[name] = made.get();
  return made;
}

}  // namespace paro::train
