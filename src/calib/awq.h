// AWQ (Lin et al., arXiv 2306.00978): before the linears of a layer are rounded, each of their inputs is multiplied by
// a scale that makes what matters larger, and what computes that input (a norm, v for o, up for down) is divided by it.
// The model stays the same function and nothing is left to do at run time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "calib/device.h"
#include "calib/options.h"
#include "calib/replaced_source.h"
#include "calib/streams.h"
#include "model/model.h"

namespace paro::calib {

/// One set of linears: the second moments of its scaled inputs, and what the scales promise.
struct AwqSet {
  std::unique_ptr<SecondMoment> h;
  double loss_ratio = 1.0;  // expected loss of rounding to nearest, with the scales over without
};

struct AwqLayer {
  std::vector<ReplacedTensor> tensors;  // all that differ from the source; what stays 16-bit is rounded to F16
  std::vector<AwqSet> sets;             // by LinearSlot::set
};

class AwqScaler {
 public:
  AwqScaler(const QuantizeOptions& options, Device& device) : options_(options), device_(device) {}

  /// Statistics of a full-precision `layer` (loaded from `source`) on the quantized stream, which is left as it is, and
  /// for each set with a linear that is not `skipped` the best of 20 scales: s_c = mean |x_c| to the power 0, 0.05, ...
  /// 0.95, over sqrt(max s min s); least is trace(dW H dW^T), dW the error of rounding W diag(s) to nearest, taken back
  /// by 1/s. Where query heads share a value head, its channels' scales are shared. `check`: called between steps.
  AwqLayer scale(DecoderLayer& layer, const WeightSource& source, Streams& streams,
                 const std::function<bool(const std::string&)>& skipped, const std::function<void()>& check) const;

 private:
  struct Change;
  void scale_set(const std::vector<const LinearSlot*>& slots, const std::vector<double>& magnitude, AwqSet& set,
                 Change& change, const std::function<bool(const std::string&)>& skipped) const;

  const QuantizeOptions& options_;
  Device& device_;
};

}  // namespace paro::calib
