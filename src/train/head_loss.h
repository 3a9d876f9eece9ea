// The loss behind the last layer and its gradient, written by hand: logits of a few rows at a time, never kept.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace paro::train {

/// Sums over rows, in nats.
class HeadLoss {
 public:
  /// head [vocab, dim] f32, of teacher and student.
  explicit HeadLoss(at::Tensor head) : head_(std::move(head)) {}

  /// KL(teacher || student) of the logits of normalized hidden states [rows, dim]; with `gradient` (of student's shape,
  /// zeros) also its derivative: (softmax(student) - softmax(teacher)) head.
  double divergence(const at::Tensor& teacher, const at::Tensor& student, at::Tensor* gradient) const;
  /// -log p(next token); student [rows, dim], next [rows] i64, negative: the row has none.
  double next_token(const at::Tensor& student, const at::Tensor& next, at::Tensor* gradient) const;

 private:
  at::Tensor head_;
};

}  // namespace paro::train
