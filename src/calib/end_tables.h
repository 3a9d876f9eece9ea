// `--embedding-bits` and `--head-bits`: the two ends of the model in 8 or 4 bits (quant/row_table). The embedding is
// rounded before the first layer, so that the layers' targets make up for it; the head after the last, on what it
// reads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backends/cpu/cpu_ops.h"
#include "calib/device.h"
#include "calib/options.h"
#include "calib/replaced_source.h"
#include "calib/streams.h"
#include "model/model.h"
#include "quant/row_table/row_table.h"

namespace paro::calib {

struct EndBits {
  int64_t embedding = 16;
  int64_t head = 16;
};
/// With tied embeddings one table serves both: the width that is given counts for both, two that differ are
/// Error{kUsage}. 4 bits need a model dimension that is a multiple of kRowTableInputs: Error{kInput}.
EndBits end_bits(const QuantizeOptions& options, const ModelConfig& config);

class EndTables {
 public:
  /// `base` must outlive it. Rounds the embedding where that is asked for.
  EndTables(const QuantizeOptions& options, const ModelConfig& config, const WeightSource& base);

  /// Rounds the head where that is asked for and the embedding is not tied to it. With second moments (methods that
  /// collect them) 4 bits are corrected and rounded like any linear, in groups of 32, if memory allows; else to
  /// nearest. `ends` was loaded from source() by the device's factory. True when source() changed.
  bool round_head(const Model& ends, Streams& streams, Device& device);

  /// `base` with what the tables mean in the place of what they were made from.
  const WeightSource& source() const { return replaced_.empty() ? base_ : *replaced_.back(); }
  bool empty() const { return tables_.empty(); }
  EndBits bits() const { return bits_; }

  struct Named {
    std::string name;  // without ".weight"
    std::shared_ptr<const RowTableBytes> table;
  };
  const std::vector<Named>& tables() const { return tables_; }

 private:
  ThreadPool& pool();
  RowTableBytes to_nearest(const std::string& name, int64_t bits);
  void add(const std::string& name, RowTableBytes table);

  const QuantizeOptions& options_;
  const ModelConfig& config_;
  const WeightSource& base_;
  EndBits bits_;
  std::unique_ptr<Ops> cpu_;  // its threads round, whatever device quantizes
  std::vector<Named> tables_;
  std::vector<std::unique_ptr<ReplacedSource>> replaced_;  // each on the one before
};

}  // namespace paro::calib
