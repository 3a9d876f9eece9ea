// What a model definition holds: weights as opaque handles that the backend's WeightFactory made and its op set
// understands.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "io/weight_source.h"

namespace paro {

/// y = x W^T + bias; W [out, in].
class Linear {
 public:
  virtual ~Linear() = default;
  std::string name;  // in the checkpoint, without ".weight"
  int64_t in = 0;
  int64_t out = 0;
};

/// A table [vocab, dim] whose rows are looked up.
class Embedding {
 public:
  virtual ~Embedding() = default;
  int64_t vocab = 0;
  int64_t dim = 0;
};

/// A vector [dim]: a norm's weight.
class Vector {
 public:
  virtual ~Vector() = default;
  int64_t dim = 0;
};

/// Makes a backend's weights from a checkpoint's tensors.
class WeightFactory {
 public:
  virtual ~WeightFactory() = default;
  /// `name` without suffix: reads `name.weight` (dense) or `name.qweight` and its company (quantized), and
  /// `name.bias` when `bias`. Checks every shape against [out, in]; Error{kInput} otherwise.
  virtual std::unique_ptr<Linear> linear(const WeightSource& source, const std::string& name, int64_t out, int64_t in,
                                         bool bias) = 0;
  virtual std::unique_ptr<Embedding> embedding(const WeightSource& source, const std::string& name, int64_t vocab,
                                               int64_t dim) = 0;
  virtual std::unique_ptr<Vector> vector(const WeightSource& source, const std::string& name, int64_t dim) = 0;
};

}  // namespace paro
