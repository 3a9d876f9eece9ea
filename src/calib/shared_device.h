// One device of several that quantize the same model: moments are those of all processes' tokens, and each process
// fits the angles of some input groups and rounds some rows of every weight.
#pragma once

#include "calib/forwarding_device.h"
#include "calib/processes.h"

namespace paro::calib {

/// What process `rank` of `size` gets of `count`, as even as whole ones allow and the larger shares first:
/// [begin, end).
struct Share {
  int64_t begin = 0;
  int64_t end = 0;
};
Share share_of(int64_t count, int rank, int size);

class SharedDevice : public ForwardingDevice {
 public:
  /// Both must outlive this. The processes' devices must be alike: what is not divided, each computes for itself.
  SharedDevice(Device& inner, Processes& processes) : ForwardingDevice(inner), processes_(processes) {}

  void complete(MomentSums& sums) override;
  double nearest_loss(const WeightMatrix& w, const SecondMoment& h, const RoundOptions& options,
                      const std::vector<float>& scale) override;
  FitResult fit(const SharedFit& problem, const PairRounds& pairs, const FitOptions& options) override;
  Rounded round(const WeightMatrix& w, const PairRotation& rotation, const SecondMoment* h,
                const RoundOptions& options) override;
  Json fingerprint() const override;

 private:
  Share mine(int64_t count) const { return share_of(count, processes_.rank(), processes_.size()); }

  Processes& processes_;
};

}  // namespace paro::calib
