#include "train/head_loss.h"

#include <c10/core/GradMode.h>

#include <algorithm>

namespace paro::train {
namespace {

// 256 rows of 128 k logits are 128 MB, of which a handful are alive at a time.
constexpr int64_t kRows = 256;

}  // namespace

double HeadLoss::divergence(const at::Tensor& teacher, const at::Tensor& student, at::Tensor* gradient) const {
  const c10::NoGradGuard no_gradients;
  double total = 0.0;
  for (int64_t first = 0; first < student.size(0); first += kRows) {
    const int64_t count = std::min(kRows, student.size(0) - first);
    const at::Tensor wanted = at::linear(teacher.narrow(0, first, count), head_).log_softmax(1);
    const at::Tensor found = at::linear(student.narrow(0, first, count), head_).log_softmax(1);
    const at::Tensor share = wanted.exp();
    total += (share * (wanted - found)).sum(1).to(at::kDouble).sum().item<double>();
    if (gradient != nullptr) gradient->narrow(0, first, count).copy_(at::mm(found.exp().sub_(share), head_));
  }
  return total;
}

double HeadLoss::next_token(const at::Tensor& student, const at::Tensor& next, at::Tensor* gradient) const {
  const c10::NoGradGuard no_gradients;
  double total = 0.0;
  for (int64_t first = 0; first < student.size(0); first += kRows) {
    const int64_t count = std::min(kRows, student.size(0) - first);
    const at::Tensor id = next.narrow(0, first, count);
    const at::Tensor has = id.ge(0).to(at::kFloat).unsqueeze(1);
    const at::Tensor index = id.clamp_min(0).unsqueeze(1);
    const at::Tensor found = at::linear(student.narrow(0, first, count), head_).log_softmax(1);
    total -= (found.gather(1, index) * has).to(at::kDouble).sum().item<double>();
    if (gradient == nullptr) continue;
    const at::Tensor difference = found.exp().scatter_add_(1, index, at::full_like(has, -1.0)).mul_(has);
    gradient->narrow(0, first, count).copy_(at::mm(difference, head_));
  }
  return total;
}

}  // namespace paro::train
