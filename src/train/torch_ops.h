// The op set over LibTorch tensors: the same model definitions, with gradients. A handle's data is an at::Tensor in the
// op set's keeping; operations "in place" put a new tensor into the handle, so that autograd sees values, not memory.
#pragma once

#include <ATen/ATen.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/model.h"
#include "model/ops.h"

namespace paro::train {

struct TorchOptions {
  at::Device device = at::kCPU;
  /// Of the factors of products and of attention; sums are f32, and so is everything between products.
  at::ScalarType products = at::kFloat;
};

struct TorchLinear : Linear {
  at::Tensor weight;  // [out, in] f32; may be the result of differentiable operations
  at::Tensor bias;    // [out] or undefined
};

struct TorchEmbedding : Embedding {
  at::Tensor table;  // [vocab, dim] f32
};

struct TorchVector : Vector {
  at::Tensor values;  // [dim] f32
};

/// A cache for sequences that one step computes from position 0 to their end: it stores nothing.
class TorchCache : public KvCache {
 public:
  explicit TorchCache(int64_t positions) { capacity = positions; }
};

class TorchOps : public Ops {
 public:
  explicit TorchOps(const TorchOptions& options) : options_(options) {}

  /// A handle of this value [rows, dim], until the enclosing scope ends.
  Tensor wrap(at::Tensor value);
  /// The value of a handle that this op set made.
  static at::Tensor& value(Tensor x) { return *static_cast<at::Tensor*>(x.data); }

  Tensor make(int64_t rows, int64_t dim) override;
  void begin_scope() override { scopes_.push_back(values_.size()); }
  void end_scope() override;
  void embed(const Embedding& table, std::span<const int32_t> ids, Tensor out) override;
  void add(Tensor x, Tensor y) override;
  Tensor rms_norm(Tensor x, const Vector& weight, float eps) override;
  void head_norm(Tensor x, int64_t head_dim, const Vector& weight, float eps) override;
  Tensor linear(Tensor x, const Linear& weight) override;
  Tensor silu_mul(Tensor gate, Tensor up) override;
  void rope(Tensor x, int64_t head_dim, const Rope& rope, const Batch& batch) override;
  Tensor attention(Tensor q, Tensor k, Tensor v, const AttentionSpec& spec, const Batch& batch) override;
  Tensor gather_rows(Tensor x, std::span<const int64_t> rows) override;

 private:
  struct RopeTable {
    at::Tensor cosine, sine;  // [rows, 1, half]
    // cos and sin of the last position: an address may come to mean another rope.
    std::vector<float> sample;
  };
  const RopeTable& rope_table(const Rope& rope, const Batch& batch);

  TorchOptions options_;
  std::deque<at::Tensor> values_;
  std::vector<size_t> scopes_;
  std::vector<int64_t> rope_key_;  // of what the tables were made for
  std::map<const Rope*, RopeTable> rope_tables_;
};

/// Full-precision weights in f32 on a device; Error{kInput} for quantized ones. Remembers the norms it made, by name
/// (without ".weight"), for as long as their model lives.
class TorchWeightFactory : public WeightFactory {
 public:
  explicit TorchWeightFactory(at::Device device) : device_(device) {}
  std::unique_ptr<Linear> linear(const WeightSource& source, const std::string& name, int64_t out, int64_t in,
                                 bool bias) override;
  std::unique_ptr<Embedding> embedding(const WeightSource& source, const std::string& name, int64_t vocab,
                                       int64_t dim) override;
  std::unique_ptr<Vector> vector(const WeightSource& source, const std::string& name, int64_t dim) override;

  const std::map<std::string, TorchVector*>& vectors() const { return vectors_; }

 private:
  at::Device device_;
  std::map<std::string, TorchVector*> vectors_;
};

/// f32 values on `device`, of the given shape.
at::Tensor to_device(const std::vector<float>& values, at::IntArrayRef shape, at::Device device);
/// On the host, f32.
std::vector<float> to_host(const at::Tensor& tensor);

}  // namespace paro::train
