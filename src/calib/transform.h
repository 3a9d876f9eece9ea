// `--transform`: from the model as it is to the one that is quantized, with rotations merged into its weights.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "calib/merged_weights.h"
#include "calib/options.h"
#include "calib/work_folder.h"
#include "io/checkpoint.h"
#include "model/model.h"

namespace paro::calib {

struct SourceModel {
  Checkpoint checkpoint;
  ModelConfig config;
};

struct TransformedModel {
  SourceModel model;         // for Transform::kOnline the source itself
  std::vector<bool> online;  // by set (model.h): its input gets a rotation of its own
  Json report;               // null for Transform::kOnline
};

/// What apply_transform leaves in a work folder: WorkFolder::file.
std::vector<std::string> transform_files();

/// Learns the rotations of options.transform on `ids` (windows of `seq_len` tokens; a part of them is enough), or reads
/// those that an earlier run left in `work`, and merges them. The merged model's logits are compared with the source's
/// before it is handed out: Error{kDefect} when they differ. Where a model's layers do not allow a merge, a warning
/// says so and those inputs get online rotations. Linears for which `skipped` holds do not count. Throws Cancelled.
TransformedModel apply_transform(const QuantizeOptions& options, const SourceModel& source,
                                 const std::vector<int32_t>& ids, int64_t seq_len,
                                 const std::function<bool(const std::string&)>& skipped, const WorkFolder& work);

/// By set (model.h), whether its input still gets a rotation when the model runs: those that `plan` does not merge, and
/// with kMerged not the one behind the SwiGLU, where nothing can be merged. `slots`: of one or all layers.
std::vector<bool> online_sets(Transform transform, const MergePlan& plan, const std::vector<LinearSlot>& slots);

/// How many of `windows` windows learning looks at.
int64_t transform_windows(int64_t windows, int64_t seq_len);

}  // namespace paro::calib
