#include "train/windows.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "calib/numeric/random.h"

namespace paro::train {

at::Tensor WindowRunner::embed(const Model& ends, std::span<const int32_t> ids) {
  const c10::NoGradGuard no_gradients;
  const OpsScope scope(ops_);
  const Tensor x = ops_.make(std::ssize(ids), ends.config.dim);
  ops_.embed(*ends.embedding, ids, x);
  return TorchOps::value(x).view({-1, seq_len_, ends.config.dim});
}

at::Tensor WindowRunner::forward(const DecoderLayer& layer, const at::Tensor& x) {
  PARO_CHECK(x.dim() == 3 && x.size(1) <= seq_len_);
  // Layers ask the batch for positions only.
  const std::vector<int32_t> ids(static_cast<size_t>(x.size(0) * x.size(1)));
  const std::vector<Segment> segments(static_cast<size_t>(x.size(0)), {&cache_, 0, x.size(1)});
  const OpsScope scope(ops_);
  const Tensor handle = ops_.wrap(x.reshape({-1, x.size(2)}));
  layer.forward(ops_, handle, {ids, segments});
  return TorchOps::value(handle).view(x.sizes());
}

void WindowRunner::advance(const DecoderLayer& layer, at::Tensor& x, int64_t windows_at_once) {
  const c10::NoGradGuard no_gradients;
  for (int64_t first = 0; first < x.size(0); first += windows_at_once) {
    at::Tensor part = x.narrow(0, first, std::min(windows_at_once, x.size(0) - first));
    part.copy_(forward(layer, part));
  }
}

std::vector<int64_t> shuffled(int64_t count, uint64_t seed, uint64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  calib::Random(seed, 0x7261696e, epoch).shuffle(order);
  return order;
}

}  // namespace paro::train
