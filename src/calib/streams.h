// The calibration windows and their hidden states between layers, in full precision and as the quantized model has
// them, walked batch by batch.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "calib/device.h"
#include "model/model.h"

namespace paro::calib {

class Streams {
 public:
  /// `ids` [windows, seq_len]; the last `held_out` of the windows only go along: nothing is fitted to them.
  /// `with_full`: also the full-precision stream. The states lie in the device's memory, or where `spill` says; throws
  /// Error{kLimit} when they do not fit.
  Streams(const ModelConfig& config, std::vector<int32_t> ids, int64_t seq_len, bool with_full, Device& device,
          int64_t held_out = 0, const StateSpill& spill = {});

  /// Both streams after the embedding; the full-precision one after that of `full_ends`, where there are others.
  void embed(const Model& ends, const Model* full_ends = nullptr);

  int64_t rows() const { return static_cast<int64_t>(ids_.size()); }
  int64_t dim() const { return dim_; }
  int64_t seq_len() const { return seq_len_; }
  int64_t held_out() const { return held_out_; }
  /// Windows that are fitted to; the held-out ones follow.
  int64_t fitted() const { return rows() / seq_len_ - held_out_; }
  bool has_full() const { return full_ != nullptr; }
  /// Rows of the largest part.
  int64_t rows_of_part() const { return static_cast<int64_t>(segments_.size()) * seq_len_; }
  std::vector<int32_t> window(int64_t index) const;
  /// Hidden states [seq_len, dim] of the quantized stream.
  Tensor quantized(int64_t window) const { return {quantized_.get() + window * seq_len_ * dim_, seq_len_, dim_}; }

  /// The same of the full-precision stream (has_full() only).
  Tensor full(int64_t window) const { return {full_.get() + window * seq_len_ * dim_, seq_len_, dim_}; }

  /// Several whole windows, all of them held out or none: `batch` for the op set, their rows in the streams (`full` has
  /// no data without that stream).
  struct Part {
    Batch batch;
    int64_t first_row = 0;
    bool held_out = false;
    Tensor full;
    Tensor quantized;
  };
  /// Always the same parts in the same order.
  void for_each(const std::function<void(const Part&)>& use);

 private:
  void walk(int64_t begin, int64_t end, bool held_out, const std::function<void(const Part&)>& use);

  int64_t dim_;
  int64_t seq_len_;
  int64_t held_out_;
  std::vector<int32_t> ids_;
  Device& device_;
  Values full_;
  Values quantized_;
  std::vector<std::unique_ptr<KvCache>> caches_;  // one for each window of a part
  std::vector<Segment> segments_;
};

}  // namespace paro::calib
