// Second moments of the inputs of linears in the full-precision stream, layer by layer: all that learning merged
// rotations needs of the calibration text. They lie in files and are mapped, so that memory holds what is in use.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "calib/merged_weights.h"
#include "calib/streams.h"
#include "io/safetensors.h"
#include "model/model.h"

namespace paro::calib {

class MergedMoments {
 public:
  /// Runs `streams` (one stream, embedded) through all layers of `weights` and writes a file for each layer into
  /// `folder`. Throws Cancelled, Error{kInput} for activations that are not finite, Error{kLimit} when the disk is
  /// full.
  MergedMoments(const ModelConfig& config, const WeightSource& weights, const MergePlan& plan, const Rope& rope,
                Ops& ops, Streams& streams, const std::filesystem::path& folder, const std::atomic<bool>* cancel);
  /// Removes the files.
  ~MergedMoments();
  MergedMoments(const MergedMoments&) = delete;
  MergedMoments& operator=(const MergedMoments&) = delete;

  /// H = E[x x^T] of the input of a set (model.h) that reads the residual stream, [dim, dim].
  const float* full(int64_t layer, int set) const { return of(layer, set); }
  /// The blocks of H of O's input, [heads, head_dim, head_dim].
  const float* heads(int64_t layer, int set) const { return of(layer, set); }
  /// diag(H) of any set, [in].
  std::vector<double> diagonal(int64_t layer, int set) const;

 private:
  const float* of(int64_t layer, int set) const;

  std::vector<std::filesystem::path> files_;
  std::vector<std::vector<LoadedTensor>> loaded_;  // [layers][sets]: [in, in], [heads, head_dim, head_dim] or [in]
};

}  // namespace paro::calib
