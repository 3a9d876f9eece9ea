// A device that passes everything on to another: for those that change a few steps of it.
#pragma once

#include "calib/device.h"

namespace paro::calib {

class ForwardingDevice : public Device {
 public:
  /// `inner` must outlive this.
  explicit ForwardingDevice(Device& inner) : inner_(inner) {}

  Ops& ops() override { return inner_.ops(); }
  WeightFactory& factory() override { return inner_.factory(); }
  std::unique_ptr<Linear> make_linear(const Paro4Weight& weight) override { return inner_.make_linear(weight); }
  std::unique_ptr<KvCache> make_cache(const ModelConfig& config, int64_t capacity) override {
    return inner_.make_cache(config, capacity);
  }
  int64_t rows_of_step(const ModelConfig& config) const override { return inner_.rows_of_step(config); }
  Values allocate(int64_t count) override { return inner_.allocate(count); }
  Values allocate_states(int64_t count, int64_t all_bytes, const StateSpill& spill) override {
    return inner_.allocate_states(count, all_bytes, spill);
  }
  bool can_keep(int64_t bytes) const override { return inner_.can_keep(bytes); }
  void copy(const float* from, int64_t count, float* to) override { inner_.copy(from, count, to); }
  std::vector<float> to_host(const float* from, int64_t count) override { return inner_.to_host(from, count); }
  void subtract_from(Tensor x, float* y, const std::vector<float>& bias) override { inner_.subtract_from(x, y, bias); }

  std::unique_ptr<MomentSums> make_sums(int64_t in, int64_t cross_rows) override {
    return inner_.make_sums(in, cross_rows);
  }
  void complete(MomentSums& sums) override { inner_.complete(sums); }
  std::unique_ptr<SecondMoment> second_moment(const MomentSums& sums, const std::string& where) override {
    return inner_.second_moment(sums, where);
  }
  std::unique_ptr<SecondMoment> copy_of(const SecondMoment& h) override { return inner_.copy_of(h); }
  std::unique_ptr<WeightMatrix> weight_of(const Linear& linear) override { return inner_.weight_of(linear); }
  std::unique_ptr<WeightMatrix> part_of(const WeightMatrix& w, const WeightPart& part) override {
    return inner_.part_of(w, part);
  }
  std::vector<float> channel_magnitudes(const WeightMatrix& w) override { return inner_.channel_magnitudes(w); }
  void correct(std::span<WeightMatrix* const> weights, const MomentSums& sums, CrossMoment cross, const SecondMoment& h,
               double damping, const std::string& where) override {
    inner_.correct(weights, sums, cross, h, damping, where);
  }
  double nearest_loss(const WeightMatrix& w, const SecondMoment& h, const RoundOptions& options,
                      const std::vector<float>& scale) override {
    return inner_.nearest_loss(w, h, options, scale);
  }
  FitResult fit(const SharedFit& problem, const PairRounds& pairs, const FitOptions& options) override {
    return inner_.fit(problem, pairs, options);
  }
  void rotate(SecondMoment& h, const PairRotation& rotation) override { inner_.rotate(h, rotation); }
  Rounded round(const WeightMatrix& w, const PairRotation& rotation, const SecondMoment* h,
                const RoundOptions& options) override {
    return inner_.round(w, rotation, h, options);
  }
  const HostMatrices* host_matrices() const override { return inner_.host_matrices(); }
  bool has_baselines() const override { return inner_.has_baselines(); }
  double measure_rate() override { return inner_.measure_rate(); }
  Json fingerprint() const override { return inner_.fingerprint(); }

 protected:
  Device& inner_;
};

}  // namespace paro::calib
