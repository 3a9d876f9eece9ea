// The angles of a rotation, fitted to the expected rounding error in the rotated basis. No activations and no
// backward pass through a model are needed: the error depends on the weights' range in each group only.
#pragma once

#include <cstdint>
#include <vector>

#include "base/threads.h"
#include "calib/numeric/kernels.h"
#include "calib/numeric/pairs.h"

namespace paro::calib {

struct FitOptions {
  int64_t steps = 200;
  double learning_rate = 0.05;
  double final_rate = 0.05;  // of the learning rate, at the end of the cosine
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-10;
  double levels = 15.0;  // 2^bits - 1
};

struct FitProblem {
  const float* weight = nullptr;  // [out, in]
  int64_t out = 0;
  std::vector<float> row_weight;     // [out]: 1 / the RTN loss of the linear the row belongs to
  std::vector<double> group_energy;  // [in / g]: sum of diag(H) over the group (rotations leave it as it is)
};

struct FitResult {
  std::vector<float> theta;  // [rounds, in/2], in (-pi, pi]; 0 in unused rounds
  double loss_before = 0.0;
  double loss_after = 0.0;
};

/// No used rounds: angles of 0 and losses of 0.
/// Minimises sum_g energy_g sum_o row_weight_o s_og^2 / 12, s = (max(w', 0) - min(w', 0)) / levels, over the angles
/// from 0 with Adam; groups are independent, and spread over the threads. Source: design of the `fast` preset;
/// ParoQuant (arXiv 2511.10645) for the rotations.
FitResult fit_rotation(const FitProblem& problem, const PairRounds& pairs, const FitOptions& options,
                       const Kernels& kernels, ThreadPool& pool);

}  // namespace paro::calib
