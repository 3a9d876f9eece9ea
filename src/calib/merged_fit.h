// Learning the rotations that are merged into a model's weights, from its weights and the second moments of its inputs:
// no back-propagation through the model.
#pragma once

#include <functional>
#include <string>

#include "base/json.h"
#include "calib/merged_moments.h"
#include "calib/merged_weights.h"
#include "calib/numeric/rotation_descent.h"
#include "calib/options.h"

namespace paro::calib {

/// Steps and rates: docs/benchmarks.md.
struct MergedFitOptions {
  DescentOptions residual{.steps = 200, .learning_rate = 0.014};
  DescentOptions values{.steps = 60, .learning_rate = 0.03};
  int64_t steps_per_pass = 8;  // the layers are dealt out to so many steps of R1, then shuffled anew
};

struct MergedFit {
  MergedRotations rotations;
  /// Expected rounding error relative to that without rotations, mean over the sets of linears.
  double residual_loss = 1.0;  // with R1
  double values_loss = 1.0;    // of v and o, with R2 over with R1 alone
};

/// R1 first, over the sets of all layers, each divided by its value without rotation; a step sees a part of the layers.
/// Then R2, layer by layer, behind R1. `plain`: the model with its norms folded and nothing turned (MergedWeights),
/// which `moments` were measured on. Linears for which `skipped` holds do not count. Seeded by options.seed. Throws
/// Cancelled.
MergedFit fit_merged_rotations(const QuantizeOptions& options, const ModelConfig& config, const MergePlan& plan,
                               const std::shared_ptr<const WeightSource>& source, const WeightSource& plain,
                               const Rope& rope, const MergedMoments& moments,
                               const std::function<bool(const std::string&)>& skipped, ThreadPool& pool,
                               const MergedFitOptions& how = {});

/// Multiply-adds of the learning, for the estimate: R1's steps and products, from the model's shape.
double merged_fit_macs(const ModelConfig& config);
/// Memory it needs: the weights it keeps, gradients, what a step leaves.
double merged_fit_bytes(const ModelConfig& config);

}  // namespace paro::calib
