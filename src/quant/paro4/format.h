// The public ParoQuant tensors of one linear, as numbers: packing, unpacking, checking. Layout to the byte:
// docs/format.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/threads.h"
#include "io/safetensors.h"
#include "io/weight_source.h"

namespace paro {

/// K rounds of disjoint pairs with angles, over groups of g consecutive channels. One pair (i, j), angle t:
/// y_i = cos t x_i + sin t x_j, y_j = cos t x_j - sin t x_i; rounds in the order 0 .. K-1.
struct PairRotation {
  int64_t in = 0;
  int64_t group_size = 0;
  int64_t rounds = 0;
  std::vector<float> theta;           // [rounds, in/2], rounded to f16
  std::vector<int16_t> pairs;         // [rounds, in], channel numbers inside the group
  std::vector<float> channel_scales;  // [in] = 1/alpha, rounded to f16; multiplied to the activation first
  bool operator==(const PairRotation&) const = default;
};

/// A quantized linear in the rotated basis: value[o, i] = (codes - zeros) * scales.
/// Other formats (quant/awq, quant/gptq) come as this too, with a rotation that does nothing.
struct Paro4Weight {
  int64_t in = 0;
  int64_t out = 0;
  int64_t group_size = 0;
  int64_t bits = 4;            // of a code: 2, 3, 4 or 8
  std::vector<uint8_t> codes;  // [out, in], 0 .. 2^bits - 1
  std::vector<uint8_t> zeros;  // [out, in/g], the same
  std::vector<float> scales;   // [out, in/g], rounded to f16
  std::shared_ptr<const PairRotation> rotation;
  std::vector<float> bias;     // [out] or empty
  std::vector<int32_t> order;  // [in] or empty: input i here is the linear's input order[i], before any rotation
};

/// No rounds, channel scales 1: the weight's own basis.
std::shared_ptr<const PairRotation> identity_rotation(int64_t in, int64_t group_size);
/// True when it leaves every input as it is.
bool is_identity(const PairRotation& rotation);

/// Reads and checks `name.qweight` and company (or the older `name.qlinear.*` layout). Every pair list must be a
/// perfect matching, angles and scales finite. Error{kInput} names the tensor, the expected and the found.
Paro4Weight read_paro4(const WeightSource& source, const std::string& name, int64_t out, int64_t in, bool bias);

/// The tensors of one linear in the public format, ready for write_safetensors. No `order`: it cannot be stored.
std::vector<TensorToWrite> paro4_tensors(const std::string& name, const Paro4Weight& weight);

/// Every round of every group a perfect matching; Error{kInput} naming `place` and tensor `name` otherwise.
void check_rotation(const PairRotation& rotation, const std::string& place, const std::string& name);

/// x [rows, in] -> rounds applied to x * channel_scales, in place, f32 (the scalar reference of the rotate kernel).
void rotate_activations_reference(const PairRotation& rotation, float* x, int64_t rows);
/// W [out, in] -> R (W diag(1/channel_scales)), in place: the basis in which the weight is rounded. Rows are spread
/// over `pool` where there is one.
void rotate_weight(const PairRotation& rotation, float* w, int64_t out, ThreadPool* pool = nullptr);
/// The inverse, W_effective = (W' R) diag(channel_scales), in place.
void unrotate_weight(const PairRotation& rotation, float* w, int64_t out, ThreadPool* pool = nullptr);
/// w [out, in] with its inputs in `order` -> in the linear's own; nothing to do where `order` is empty.
std::vector<float> in_natural_order(std::vector<float> w, int64_t in, const std::vector<int32_t>& order);
/// (codes - zeros) * scales, [out, in]: the weight in the rotated basis.
std::vector<float> dequantize_paro4_rotated(const Paro4Weight& weight);
/// W_effective [out, in] f32 (rotations in double).
std::vector<float> dequantize_paro4(const Paro4Weight& weight, ThreadPool* pool = nullptr);

}  // namespace paro
