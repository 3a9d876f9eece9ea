// An device that passes everything on and adds up how long each step of a set takes.
#pragma once

#include <chrono>
#include <map>

#include "calib/device.h"

namespace paro::calib {

class TimedDevice : public Device {
 public:
  /// `wait` returns when the inner device's device has done everything it was asked for.
  TimedDevice(Device& inner, std::function<void()> wait) : inner_(inner), wait_(std::move(wait)) {}

  /// Seconds by step since the last call.
  std::map<std::string, double> take() { return std::exchange(seconds_, {}); }
  void wait() const { wait_(); }

  Ops& ops() override { return inner_.ops(); }
  WeightFactory& factory() override { return factory_; }
  std::unique_ptr<Linear> make_linear(const Paro4Weight& weight) override {
    return timed("install", [&] { return inner_.make_linear(weight); });
  }
  std::unique_ptr<KvCache> make_cache(const ModelConfig& config, int64_t capacity) override {
    return inner_.make_cache(config, capacity);
  }
  int64_t rows_of_step(const ModelConfig& config) const override { return inner_.rows_of_step(config); }
  Values allocate(int64_t count) override { return inner_.allocate(count); }
  bool can_keep(int64_t bytes) const override { return inner_.can_keep(bytes); }
  void copy(const float* from, int64_t count, float* to) override { inner_.copy(from, count, to); }
  std::vector<float> to_host(const float* from, int64_t count) override { return inner_.to_host(from, count); }
  void subtract_from(Tensor x, float* y, const std::vector<float>& bias) override { inner_.subtract_from(x, y, bias); }

  std::unique_ptr<MomentSums> make_sums(int64_t in, int64_t cross_rows) override {
    return std::make_unique<Sums>(*this, inner_.make_sums(in, cross_rows));
  }
  std::unique_ptr<SecondMoment> second_moment(const MomentSums& sums, const std::string& where) override {
    return timed("second moment", [&] { return inner_.second_moment(inner(sums), where); });
  }
  std::unique_ptr<SecondMoment> copy_of(const SecondMoment& h) override { return inner_.copy_of(h); }
  std::unique_ptr<WeightMatrix> weight_of(const Linear& linear) override { return inner_.weight_of(linear); }
  void correct(std::span<WeightMatrix* const> weights, const MomentSums& sums, CrossMoment cross, const SecondMoment& h,
               double damping, const std::string& where) override {
    timed("correct", [&] { inner_.correct(weights, inner(sums), cross, h, damping, where); });
  }
  std::vector<float> channel_magnitudes(const WeightMatrix& w) override { return inner_.channel_magnitudes(w); }
  double nearest_loss(const WeightMatrix& w, const SecondMoment& h, const RoundOptions& options,
                      const std::vector<float>& scale) override {
    return timed("nearest loss", [&] { return inner_.nearest_loss(w, h, options, scale); });
  }
  FitResult fit(const SharedFit& problem, const PairRounds& pairs, const FitOptions& options) override {
    return timed("fit", [&] { return inner_.fit(problem, pairs, options); });
  }
  void rotate(SecondMoment& h, const PairRotation& rotation) override {
    timed("rotate moment", [&] { inner_.rotate(h, rotation); });
  }
  Rounded round(const WeightMatrix& w, const PairRotation& rotation, const SecondMoment* h,
                const RoundOptions& options) override {
    return timed("round", [&] { return inner_.round(w, rotation, h, options); });
  }
  const HostMatrices* host_matrices() const override { return inner_.host_matrices(); }
  bool has_baselines() const override { return inner_.has_baselines(); }
  double measure_rate() override { return inner_.measure_rate(); }
  Json fingerprint() const override { return inner_.fingerprint(); }

 private:
  struct Sums : MomentSums {
    Sums(TimedDevice& owner, std::unique_ptr<MomentSums> sums) : device(owner), wrapped(std::move(sums)) {
      in = wrapped->in;
      cross_rows = wrapped->cross_rows;
    }
    void add(const float* x, const float* y, int64_t rows) override {
      device.timed("moments", [&] { wrapped->add(x, y, rows); });
    }
    TimedDevice& device;
    std::unique_ptr<MomentSums> wrapped;
  };

  struct Factory : WeightFactory {
    explicit Factory(TimedDevice& owner) : device(owner) {}
    std::unique_ptr<Linear> linear(const WeightSource& source, const std::string& name, int64_t out, int64_t in,
                                   bool bias) override {
      return device.timed("loading", [&] { return device.inner_.factory().linear(source, name, out, in, bias); });
    }
    std::unique_ptr<Embedding> embedding(const WeightSource& source, const std::string& name, int64_t vocab,
                                         int64_t dim) override {
      return device.inner_.factory().embedding(source, name, vocab, dim);
    }
    std::unique_ptr<Vector> vector(const WeightSource& source, const std::string& name, int64_t dim) override {
      return device.inner_.factory().vector(source, name, dim);
    }
    TimedDevice& device;
  };

  static const MomentSums& inner(const MomentSums& sums) { return *static_cast<const Sums&>(sums).wrapped; }

  template <typename Body>
  auto timed(const char* step, const Body& body) -> decltype(body()) {
    struct Clock {
      TimedDevice& device;
      const char* step;
      std::chrono::steady_clock::time_point begin;
      ~Clock() {
        device.wait_();
        device.seconds_[step] += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      }
    };
    wait_();
    const Clock clock{*this, step, std::chrono::steady_clock::now()};
    return body();
  }

  Device& inner_;
  Factory factory_{*this};
  std::function<void()> wait_;
  std::map<std::string, double> seconds_;
};

}  // namespace paro::calib
