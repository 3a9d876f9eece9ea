// A linear on the CPU, whatever its weights are stored as: what every quantization method's CPU path implements.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/cpu.h"
#include "base/threads.h"
#include "io/prepared_cache.h"
#include "model/config.h"
#include "model/linear.h"
#include "quant/linear_input.h"

namespace paro {

/// How activations enter a product with quantized weights.
enum class Activations {
  kInt8,  // dynamic, per row and group, after the rotation: the fast path
  kF16,   // rounded once, after the rotation; beyond 65504 the largest f16
  kF32,   // exact
};

struct CpuContext {
  ThreadPool& pool;
  Arena& arena;
  Isa isa = active_isa();
  Activations activations = Activations::kInt8;
};

/// An input made ready for one or more weights (rotated, quantized); memory in the context's arena, or the caller's x
/// where nothing had to be done. Either `x` or `q` is set.
struct PreparedInput {
  const float* x = nullptr;       // [rows, in] f32, in the weight's own basis (rotated where it has a rotation)
  const int8_t* q = nullptr;      // int8 and its company in the layout of Int8Rows (kernels/rotate/rotate.h)
  const float* scales = nullptr;  // of q, [groups][rows rounded up to lanes]
  const int32_t* sums = nullptr;  // of q over each group, [groups][rows rounded up to lanes]
  int64_t rows = 0;
  int64_t lanes = 1;  // rows that q interleaves
};

class CpuLinear : public Linear {
 public:
  /// True when prepare() of `other` would give the same result: it is then done once for both.
  virtual bool same_input(const CpuLinear& other) const = 0;
  virtual PreparedInput prepare(const CpuContext& context, const LinearInput& input, int64_t rows) const = 0;
  /// y [rows, out] = input W^T + bias.
  virtual void multiply(const CpuContext& context, const PreparedInput& input, float* y) const = 0;
  /// Independent pieces that the product with `input` falls into; 0: it is not divided.
  virtual int64_t pieces(const CpuContext&, const PreparedInput&) const { return 0; }
  /// The pieces [begin, end) of it, by the calling thread alone.
  virtual void multiply_pieces(const CpuContext&, const PreparedInput&, int64_t, int64_t, float*) const {}
  /// Bytes read from memory per product with one row.
  virtual int64_t weight_bytes() const = 0;
  /// The weight in the original basis, [out, in] f32, row-major: what the product means.
  virtual std::vector<float> dequantize() const = 0;
};

/// [rows, in] of the input: its x where it is plain, else computed into the context's arena.
const float* computed_rows(const CpuContext& context, const LinearInput& input, int64_t rows, int64_t in);

/// y[i] = input W_i^T + bias_i of weights with the same input, in one parallel loop where all of them can be divided:
/// threads then wait for each other once instead of once for each weight.
void multiply_together(const CpuContext& context, std::span<const CpuLinear* const> weights, const PreparedInput& input,
                       std::span<float* const> y);

/// What making a weight may use.
struct LoadHelp {
  ThreadPool* pool = nullptr;         // null: the caller's thread alone
  PreparedCache* prepared = nullptr;  // what was made is looked up there, and else given to it
};

/// `name.weight` is dense; `name.qweight` (or the older `name.qlinear.*` layout of ParoQuant) is of the method that the
/// configuration names, ParoQuant where it names none. Error{kInput} names what is missing or of the wrong shape.
std::unique_ptr<CpuLinear> make_cpu_linear(const WeightSource& source, const std::string& name, int64_t out, int64_t in,
                                           bool bias, const QuantizationConfig& quantization,
                                           const LoadHelp& help = {});

/// A dense f32 linear from memory (quantizing works on these); weight [out, in], bias empty or [out].
std::unique_ptr<CpuLinear> make_dense_linear(std::vector<float> weight, int64_t out, int64_t in,
                                             std::vector<float> bias);

/// The same of f16 bits.
std::unique_ptr<CpuLinear> make_dense_linear(std::vector<uint16_t> weight, int64_t out, int64_t in,
                                             std::vector<float> bias);

/// A dense linear with its weights rounded to 8 bits, one scale for each output (absolute maximum / 127). Null when
/// `linear` has no more than 8 bits already. Meant for the output head, whose bytes a 4-bit model reads for each token.
std::unique_ptr<CpuLinear> rounded_to_int8(const Linear& linear, ThreadPool& pool, PreparedCache* prepared = nullptr);
constexpr int64_t kRoundedInt4Group = 32;
/// The same with 4 bits in groups of kRoundedInt4Group inputs (a multiple of which `linear.in` must be), each with the
/// range of least squared error.
std::unique_ptr<CpuLinear> rounded_to_int4(const Linear& linear, ThreadPool& pool, PreparedCache* prepared = nullptr);

}  // namespace paro
