// Where calibration computes: memory, op set and weights of a device, and the numeric steps that take one set of
// linears from second moments to codes. The order of the steps is set_quantizer.h's and layer_pipeline.h's business and
// the same for every device; cpu_device.h and cuda/cuda_device.h implement the steps.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/threads.h"
#include "calib/numeric/blas.h"
#include "calib/numeric/pairs.h"
#include "calib/numeric/rotation_fit.h"
#include "calib/numeric/rounding.h"
#include "model/model.h"
#include "quant/paro4/format.h"

namespace paro::calib {

/// f32 values in the device's memory; not for the host to read unless the device is the CPU's.
using Values = std::unique_ptr<float[], std::function<void(float*)>>;

/// Hidden states of more than `bytes` in all go to a file in `folder` where a device can do that.
struct StateSpill {
  int64_t bytes = std::numeric_limits<int64_t>::max();
  std::filesystem::path folder;
};

/// A weight [out, in] in f32 on its way to codes, in the device's memory.
class WeightMatrix {
 public:
  virtual ~WeightMatrix() = default;
  int64_t out = 0;
  int64_t in = 0;
};

/// Rows [first_row, end_row) and columns [first_column, end_column) of a weight.
struct WeightPart {
  int64_t first_row = 0;
  int64_t end_row = 0;
  int64_t first_column = 0;
  int64_t end_column = 0;
};

/// H = E[x x^T] of a set's input, [n, n] in f64.
class SecondMoment {
 public:
  virtual ~SecondMoment() = default;
  int64_t n = 0;
  std::vector<double> diagonal;  // [n], as collected (rotating does not update it)
};

/// Sums for H and the cross moment E[y x^T] over the calibration tokens.
class MomentSums {
 public:
  virtual ~MomentSums() = default;
  /// Adds a batch: x [rows, in], y [rows, cross_rows] (nullptr when there is none), both in the device's memory.
  /// Products over one batch to f32 or to 2^-16 of each term, totals in f64.
  virtual void add(const float* x, const float* y, int64_t rows) = 0;
  /// The sums and the number of rows, an array after the other, through `add_up`, which may change the values.
  virtual void combine(const std::function<void(std::span<double>)>& add_up) = 0;
  int64_t in = 0;
  int64_t cross_rows = 0;  // dimension of y, 0 for none
};

/// What the correction aims at: nothing, E[x_f x_q^T] of the inputs, or E[y x_q^T] of the wanted outputs of the set's
/// only member.
enum class CrossMoment { kNone, kInputs, kOutputs };

/// One rotation for several weights of the same input. The objective is FitProblem's (rotation_fit.h).
struct SharedFit {
  std::span<const WeightMatrix* const> weights;
  std::vector<float> row_weight;     // one for each weight, of all its rows
  std::vector<double> group_energy;  // [in / g]
};

/// What a device's matrices hold, where they lie in the host's memory: for measures that only the report shows
/// (set_meter.h).
class HostMatrices {
 public:
  virtual ~HostMatrices() = default;
  virtual const std::vector<float>& values(const WeightMatrix& w) const = 0;  // [out, in]
  virtual const SquareMatrix& values(const SecondMoment& h) const = 0;
  virtual ThreadPool& pool() const = 0;
};

class Device {
 public:
  virtual ~Device() = default;

  // Running the model.
  virtual Ops& ops() = 0;
  /// Linears of full precision that `ops` multiplies with; Error{kInput} for a tensor that is quantized already.
  virtual WeightFactory& factory() = 0;
  /// A linear that multiplies with the meaning of `weight`.
  virtual std::unique_ptr<Linear> make_linear(const Paro4Weight& weight) = 0;
  /// A cache for sequences that `ops` computes whole, from position 0.
  virtual std::unique_ptr<KvCache> make_cache(const ModelConfig& config, int64_t capacity) = 0;
  /// Rows that one step should have to keep the device busy.
  virtual int64_t rows_of_step(const ModelConfig& config) const = 0;

  // Memory.
  /// Uninitialised. Throws std::bad_alloc when there is not enough.
  virtual Values allocate(int64_t count) = 0;
  /// The same for hidden states that come to `all_bytes` together. Throws Error{kLimit} when the disk is full.
  virtual Values allocate_states(int64_t count, [[maybe_unused]] int64_t all_bytes,
                                 [[maybe_unused]] const StateSpill& spill) {
    return allocate(count);
  }
  /// Whether `bytes` may be kept beside what the steps need.
  virtual bool can_keep(int64_t bytes) const = 0;
  virtual void copy(const float* from, int64_t count, float* to) = 0;
  virtual std::vector<float> to_host(const float* from, int64_t count) = 0;
  /// y = x - y - bias; x and y [rows, dim], bias [dim] on the host or empty.
  virtual void subtract_from(Tensor x, float* y, const std::vector<float>& bias) = 0;

  // The steps of one set.
  virtual std::unique_ptr<MomentSums> make_sums(int64_t in, int64_t cross_rows) = 0;
  /// Called once all batches were added, before anything else is done with `sums`.
  virtual void complete(MomentSums&) {}
  /// Error{kInput} naming `where` when a sum is not finite.
  virtual std::unique_ptr<SecondMoment> second_moment(const MomentSums& sums, const std::string& where) = 0;
  virtual std::unique_ptr<SecondMoment> copy_of(const SecondMoment& h) = 0;
  /// A copy of the weight of a linear that `factory` made.
  virtual std::unique_ptr<WeightMatrix> weight_of(const Linear& linear) = 0;
  /// A copy of a part that is not empty.
  virtual std::unique_ptr<WeightMatrix> part_of(const WeightMatrix& w, const WeightPart& part) = 0;
  /// The largest absolute weight of each input channel, [in].
  virtual std::vector<float> channel_magnitudes(const WeightMatrix& w) = 0;
  /// Each weight becomes the one whose output comes closest to what is wanted (correction.h).
  virtual void correct(std::span<WeightMatrix* const> weights, const MomentSums& sums, CrossMoment cross,
                       const SecondMoment& h, double damping, const std::string& where) = 0;
  /// trace of E H E^T for E = (nearest(W diag(scale)) - W diag(scale)) diag(1 / scale); scale [in] or empty: 1.
  virtual double nearest_loss(const WeightMatrix& w, const SecondMoment& h, const RoundOptions& options,
                              const std::vector<float>& scale = {}) = 0;
  virtual FitResult fit(const SharedFit& problem, const PairRounds& pairs, const FitOptions& options) = 0;
  /// H of x -> H of R diag(channel_scales) x, in place.
  virtual void rotate(SecondMoment& h, const PairRotation& rotation) = 0;
  /// Codes of the weight in the rotated basis: with `h` in that basis by options.second_order, to nearest without. With
  /// options.order (and a rotation that is_identity) input i of the codes is input order[i] of w and of h.
  virtual Rounded round(const WeightMatrix& w, const PairRotation& rotation, const SecondMoment* h,
                        const RoundOptions& options) = 0;

  /// Null where the matrices lie elsewhere.
  virtual const HostMatrices* host_matrices() const { return nullptr; }
  /// Whether nearest_loss takes scales, and round an order and clipping without second-order rounding.
  virtual bool has_baselines() const = 0;
  /// Floating-point operations a second (a multiply-add is two) that a whole run sustains, counted as estimate.cpp
  /// counts them; measured on the spot.
  virtual double measure_rate() = 0;
  /// What the bytes of a result depend on besides the settings: for --resume.
  virtual Json fingerprint() const = 0;
};

}  // namespace paro::calib
